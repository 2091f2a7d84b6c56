"""What a service answers instead of doing its work, as the one kind of error there is."""

from collections.abc import Mapping, Sequence

import orjson

from agents.providers.classify import from_status
from agents.providers.errors import ProviderError


def refusal(
    service: str, status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str] = ()
) -> ProviderError:
    """Return the error for an HTTP status. `secrets` are blotted out: services echo what they are sent."""
    told: object
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = body.decode(errors="replace")[:300]
    return named(service, from_status(status, headers, told), secrets)


def complaint(service: str, code: object, message: object) -> ProviderError:
    """Return the error for a message that says that something went wrong in the stream."""
    told = {"code": str(code or ""), "message": str(message or code or "no reason given")}
    return named(service, from_status(200, {}, told, in_stream=True))


def named(service: str, error: ProviderError, secrets: Sequence[str] = ()) -> ProviderError:
    """Say whose error it is."""
    message = f"{service}: {error.args[0]}"
    for secret in secrets:
        message = message.replace(secret, "***") if len(secret) > 7 else message
    error.args = (message,)
    error.provider = service
    return error
