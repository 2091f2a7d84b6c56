"""The one error a model call can end in.

    ProviderError                 one provider, or the whole chain, did not give a usable reply
    └── ChainUnavailable          every candidate is down or limited for now: wait `retry_after`

`category` is what code decides by (the table of failures in docs/providers.md); the message is for people.
"""

from enum import StrEnum


class Failure(StrEnum):
    INVALID_REQUEST = "invalid_request"  # 400, 422: ours to mend
    CONTEXT_TOO_LONG = "context_too_long"
    AUTHENTICATION = "authentication"  # 401, 403
    BILLING = "billing"  # 402, 429 insufficient_quota
    MODEL_NOT_FOUND = "model_not_found"  # 404: retired or misspelt
    REQUEST_TIMEOUT = "request_timeout"  # 408 from the vendor
    CONFLICT = "conflict"  # 409
    RATE_LIMITED = "rate_limited"  # 429
    SERVER_ERROR = "server_error"  # 500 502 503 504
    OVERLOADED = "overloaded"  # 529, also inside a stream
    CONNECTION = "connection"  # refused, reset, DNS, TLS
    DEADLINE = "deadline"  # ours: first byte, idle or total
    MALFORMED = "malformed"  # a 200 that is no reply
    SCHEMA_MISMATCH = "schema_mismatch"  # a reply that is not the promised JSON
    TRUNCATED = "truncated"  # max_tokens
    REFUSED = "refused"  # refusal, content filter
    CUT_STREAM = "cut_stream"  # the stream ended early or sent an error event
    BREAKER_OPEN = "breaker_open"  # not sent: the breaker is open
    CANCELLED = "cancelled"
    INTERNAL = "internal"  # an exception of ours


class ProviderError(Exception):
    """A model call failed.

    `retry_after` is in seconds, when the vendor or the breaker said so. `nothing_sent` tells that the
    vendor cannot have seen the request; `output_already_sent` that a listener has already had chunks;
    `in_haste` that the caller had too little time left for a fair try, so the vendor is not to blame.
    """

    def __init__(
        self,
        category: Failure,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        request_id: str = "",
        retry_after: float | None = None,
        nothing_sent: bool = False,
        output_already_sent: bool = False,
        in_haste: bool = False,
    ) -> None:
        super().__init__(message)
        self.category = category
        self.provider = provider
        self.model = model
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.nothing_sent = nothing_sent
        self.output_already_sent = output_already_sent
        self.in_haste = in_haste


class ChainUnavailable(ProviderError):
    """No candidate can answer now. The caller gives its slot back and asks again after `retry_after` s."""
