"""Every `code` an error can carry: its status, its title, and what to do about it.

The documentation page that an error's `type` links to is made from this table, so neither can drift.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProblemCode:
    """One kind of error."""

    status: int
    title: str
    help: str


CODES: dict[str, ProblemCode] = {
    "malformed_json": ProblemCode(400, "Malformed JSON", "The body is not JSON in UTF-8."),
    "bad_json": ProblemCode(
        400,
        "JSON that is not accepted",
        "The body nests deeper than 64 levels, repeats a member, or holds a NUL character, a lone surrogate "
        "or a number that is not finite. `errors` names the place.",
    ),
    "bad_request": ProblemCode(400, "Bad request", "The request could not be read."),
    "unauthenticated": ProblemCode(
        401,
        "No valid API key",
        "Send a key that is neither revoked nor expired as `Authorization: Bearer mesh_…`.",
    ),
    "bad_signature": ProblemCode(
        401,
        "The signature does not fit",
        "Sign the body by Standard Webhooks with the trigger's secret, and send it within five minutes.",
    ),
    "forbidden": ProblemCode(403, "Not allowed", "The caller may not do this."),
    "not_an_approver": ProblemCode(403, "Not asked", "The approval names others who may decide."),
    "missing_scope": ProblemCode(403, "Missing scope", "The key lacks the scope named in `detail`."),
    "no_project": ProblemCode(
        403, "No project", "An installation key owns no networks; use a key of a project."
    ),
    "not_found": ProblemCode(
        404, "Not found", "There is no such thing, or it belongs to a project or network this key cannot see."
    ),
    "method_not_allowed": ProblemCode(
        405, "Method not allowed", "The `Allow` header lists what this address takes."
    ),
    "not_acceptable": ProblemCode(406, "Not acceptable", "This address cannot answer in that media type."),
    "idempotency_in_progress": ProblemCode(
        409,
        "The first request is still running",
        "A request with this Idempotency-Key has not ended yet. Repeat it after `Retry-After` seconds.",
    ),
    "coordinator_busy": ProblemCode(
        409, "The coordinator has work in flight", "Wait for the network's runs to end, or cancel them."
    ),
    "invalid_workflow": ProblemCode(
        422, "The workflow cannot be run", "`errors` names every finding with its node or edge."
    ),
    "revision_mismatch": ProblemCode(
        412, "It was changed meanwhile", "Get it again, and repeat the change with its new ETag in If-Match."
    ),
    "precondition_required": ProblemCode(
        428, "If-Match is missing", "Name the revision you have seen: the ETag of the GET."
    ),
    "project_in_use": ProblemCode(409, "The project is in use", "Delete its networks first."),
    "network_paused": ProblemCode(409, "The network is paused", "Set its status to `active` first."),
    "network_archived": ProblemCode(409, "The network is archived", "Set its status to `active` first."),
    "task_finished": ProblemCode(
        409, "The task has ended", 'To run it again use `retry`, or `process` with `{"retry": true}`.'
    ),
    "task_not_finished": ProblemCode(
        409, "The task has not ended", "Wait for it or cancel it before retrying."
    ),
    "run_finished": ProblemCode(409, "The run has ended", "To run it again use `retry`."),
    "run_not_finished": ProblemCode(
        409, "The run has not ended", "Wait for it or cancel it before retrying."
    ),
    "already_superseded": ProblemCode(
        409, "Already superseded", "Supersede the item that took its place instead."
    ),
    "key_revoked": ProblemCode(409, "The key is revoked", "A revoked key stays revoked. Create another."),
    "approval_decided": ProblemCode(
        409, "Already decided", "Somebody was quicker, or the time was over; `detail` says who decided what."
    ),
    "conflict": ProblemCode(409, "Conflict", "The present state does not allow it."),
    "number_taken": ProblemCode(409, "The number is taken", "Somebody has this telephone number already."),
    "session_over": ProblemCode(
        410, "The voice session is over", "It has expired or was ended. Create another; calls go on."
    ),
    "body_too_large": ProblemCode(413, "Body too large", "A body has at most 1 MiB."),
    "unsupported_media_type": ProblemCode(
        415, "Unsupported media type", "Send `Content-Type: application/json`."
    ),
    "validation_failed": ProblemCode(
        422, "Invalid fields", "`errors` names each field and what is wrong with it."
    ),
    "not_available": ProblemCode(
        422,
        "Not available",
        "The field or mode named in `errors` is not built yet, or not configured here; leave it out.",
    ),
    "idempotency_key_reused": ProblemCode(
        422,
        "Idempotency-Key used before",
        "The key came with another request within 24 hours. Use a new one.",
    ),
    "rate_limited": ProblemCode(429, "Too many requests", "Repeat the request after `Retry-After` seconds."),
    "internal_error": ProblemCode(
        500,
        "Internal error",
        "Ours. Repeat the request later, and report its `request_id` if it happens again.",
    ),
    "carrier_failed": ProblemCode(
        502, "The telephone company failed", "Twilio could not be reached or failed. Repeat the call later."
    ),
    "vendor_failed": ProblemCode(
        502, "A transport's vendor failed", "LiveKit or Daily refused or could not be reached; see `detail`."
    ),
    "no_answer": ProblemCode(
        502,
        "No service could answer",
        "Every model or speech service of the chain failed; `detail` says how.",
    ),
    "lines_busy": ProblemCode(
        503, "All lines are busy", "No voice process has a slot left. Repeat after some seconds."
    ),
    "unavailable": ProblemCode(
        503, "Temporarily unavailable", "The database cannot be reached. Repeat after `Retry-After` seconds."
    ),
}

BY_STATUS = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
    429: "rate_limited",
    503: "unavailable",
}
