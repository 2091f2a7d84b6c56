"""From whatever an SDK raises to the one `ProviderError`: the table of failures, for all vendors.

Sources: the vendors' error references, and what their SDKs were seen to raise against the servers of
tests/fakes. All three SDKs speak HTTP through httpx2, so its exceptions decide what a failed connection was.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from .errors import Failure, ProviderError

# What the body says is more precise than the status: billing comes as 400 or 429, a bad key as 400.
_BY_KIND = {
    "overloaded_error": Failure.OVERLOADED,
    "server_is_overloaded": Failure.OVERLOADED,
    "slow_down": Failure.OVERLOADED,
    "insufficient_quota": Failure.BILLING,
    "billing_error": Failure.BILLING,
    "billing_not_active": Failure.BILLING,
    "billing_hard_limit_reached": Failure.BILLING,
    "rate_limit_error": Failure.RATE_LIMITED,
    "rate_limit_exceeded": Failure.RATE_LIMITED,
    "RESOURCE_EXHAUSTED": Failure.RATE_LIMITED,
    "authentication_error": Failure.AUTHENTICATION,
    "permission_error": Failure.AUTHENTICATION,
    "invalid_api_key": Failure.AUTHENTICATION,
    "API_KEY_INVALID": Failure.AUTHENTICATION,
    "not_found_error": Failure.MODEL_NOT_FOUND,
    "model_not_found": Failure.MODEL_NOT_FOUND,
    "context_length_exceeded": Failure.CONTEXT_TOO_LONG,
    "exceed_context_size_error": Failure.CONTEXT_TOO_LONG,
    "content_filter": Failure.REFUSED,
    "content_policy_violation": Failure.REFUSED,
    "invalid_prompt": Failure.REFUSED,
    "bio_policy": Failure.REFUSED,
}
_BY_STATUS = {
    401: Failure.AUTHENTICATION,
    402: Failure.BILLING,
    403: Failure.AUTHENTICATION,
    404: Failure.MODEL_NOT_FOUND,
    408: Failure.REQUEST_TIMEOUT,
    409: Failure.CONFLICT,
    413: Failure.CONTEXT_TOO_LONG,
    429: Failure.RATE_LIMITED,
    529: Failure.OVERLOADED,
}
_TOO_LONG = re.compile(
    r"prompt is too long|maximum context length|context (length|window|limit)|context size"
    r"|input token count .*exceeds|too many (input )?tokens",
    re.IGNORECASE,
)
_NO_MONEY = re.compile(r"credit balance|billing (is )?(not|dis)", re.IGNORECASE)
# Never reached the vendor: the pool had no room, or no connection (DNS, refused, TLS) was made.
_NOTHING_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


@contextmanager
def vendor_errors(
    provider: str,
    model: str,
    *,
    secret: str = "",
    in_stream: bool = False,
    otherwise: Failure = Failure.MALFORMED,
) -> Iterator[None]:
    """Raise every exception of the block as `ProviderError`, `from` the original.

    `in_stream` says that the reply had begun, so a lost connection is a cut stream. `otherwise` is the
    category of exceptions that name no cause: `TypeError`, `KeyError` and the like come from reading
    a reply of the wrong shape. `secret` is blotted out of messages, as gateways echo headers.
    """
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:
        failure = classify(error, in_stream=in_stream, otherwise=otherwise)
        message = failure.args[0].replace(secret, "***") if len(secret) > 7 else failure.args[0]
        failure.args = (f"{provider}: {message}",)
        failure.provider, failure.model = provider, model
        raise failure from error


def classify(
    error: Exception, *, in_stream: bool = False, otherwise: Failure = Failure.MALFORMED
) -> ProviderError:
    """Return the `ProviderError` that stands for an exception of an SDK or of httpx2."""
    cause = error.__cause__
    if isinstance(error, httpx2.HTTPError):
        return _from_transport(error, in_stream)
    if isinstance(cause, httpx2.HTTPError):  # the SDKs' APIConnectionError and APITimeoutError
        return _from_transport(cause, in_stream)
    if type(error).__name__ == "APIConnectionError":
        # anthropic disguises any exception as this one, a client used on another loop included.
        unreachable = isinstance(cause, OSError)
        return ProviderError(Failure.CONNECTION if unreachable else Failure.INTERNAL, repr(cause or error))
    body = getattr(error, "body", getattr(error, "details", None))
    status = getattr(error, "status_code", getattr(error, "code", None))
    response = getattr(error, "response", None)
    if isinstance(status, int):
        headers = getattr(response, "headers", None) or {}
        return from_status(status, headers, body, in_stream=in_stream)
    if isinstance(body, Mapping):  # openai's bare APIError: an error event inside a stream
        return from_status(200, {}, body, in_stream=True)
    if isinstance(error, RuntimeError):  # a closed client or loop: ours
        return ProviderError(Failure.INTERNAL, repr(error))
    return ProviderError(otherwise, f"The reply could not be read: {error!r:.300}")


def from_status(
    status: int, headers: Mapping[str, str], body: object, *, in_stream: bool = False
) -> ProviderError:
    """Return the error for an answer that is no reply: an HTTP status, or an error event in a stream.

    `in_stream` overrides the status: what has begun with 200 and then failed is a cut stream unless
    the event says more (overloaded, rate limited, …).
    """
    kinds, message, delay = _describe(body)
    category = next((_BY_KIND[kind] for kind in kinds if kind in _BY_KIND), None)
    if status in (400, 413, 422, 500) and _TOO_LONG.search(message):
        category = Failure.CONTEXT_TOO_LONG  # llama.cpp and older gateways answer 500
    elif status in (400, 403) and _NO_MONEY.search(message):
        category = Failure.BILLING
    elif category is None and (in_stream or status < 400):
        category = Failure.CUT_STREAM
    elif category is None or (status in _BY_STATUS and category is not Failure.BILLING):
        fallback = Failure.SERVER_ERROR if status >= 500 else Failure.INVALID_REQUEST
        category = _BY_STATUS.get(status, fallback)
    told = retry_after(headers)
    return ProviderError(
        category,
        f"answered {status}: {message[:300]}" if status >= 400 else f"error in the stream: {message[:300]}",
        status=status,
        request_id=headers.get("request-id") or headers.get("x-request-id") or "",
        retry_after=delay if told is None else told,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds the vendor asks us to wait: `retry-after-ms`, or `Retry-After` as seconds or date.

    A date is read against the answer's own `Date` where there is one: our clock need not be right.
    """
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _from_transport(error: httpx2.HTTPError, in_stream: bool) -> ProviderError:
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, _NOTHING_SENT):
        return ProviderError(Failure.CONNECTION, message, nothing_sent=True)
    if isinstance(error, httpx2.TimeoutException):
        return ProviderError(Failure.DEADLINE, message)
    if isinstance(error, httpx2.DecodingError):  # a body that is not the gzip it claims to be
        return ProviderError(Failure.MALFORMED, message)
    # A body shorter than announced has begun, even where we asked for it whole.
    if in_stream or "complete message body" in str(error):
        return ProviderError(Failure.CUT_STREAM, message)
    return ProviderError(Failure.CONNECTION, message)


def _describe(body: object) -> tuple[list[str], str, float | None]:
    """Return the kinds, the message and the retry delay (s) told by an error body of any vendor."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        body = body["error"]
    if not isinstance(body, Mapping):
        return [], str(body or ""), None
    kinds = [kind for key in ("code", "type", "status") if isinstance(kind := body.get(key), str)]
    delay = None
    for detail in _mappings(
        body.get("details")
    ):  # google.rpc: ErrorInfo.reason, RetryInfo.retryDelay ("34s")
        if isinstance(detail.get("reason"), str):
            kinds.insert(0, detail["reason"])
        if re.fullmatch(r"\d+(\.\d+)?s", str(detail.get("retryDelay"))):
            delay = float(detail["retryDelay"][:-1])
    message = body.get("message") or body.get("detail") or body.get("error") or body
    return kinds, str(message), delay


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
