"""The table of failures: what every provider makes of each class, and that it asks only once."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from agents.providers.errors import Failure, ProviderError
from agents.providers.types import TextDelta
from tests.conformance.provider_case import Case
from tests.fakes.vendor_script import GARBAGE, Fault, FaultKind, Reply

F = Failure


@pytest.mark.parametrize(
    ("status", "category"),
    [
        (400, F.INVALID_REQUEST),
        (401, F.AUTHENTICATION),
        (402, F.BILLING),
        (403, F.AUTHENTICATION),
        (404, F.MODEL_NOT_FOUND),
        (408, F.REQUEST_TIMEOUT),
        (409, F.CONFLICT),
        (413, F.CONTEXT_TOO_LONG),
        (422, F.INVALID_REQUEST),
        (429, F.RATE_LIMITED),
        (500, F.SERVER_ERROR),
        (502, F.SERVER_ERROR),
        (503, F.SERVER_ERROR),
        (504, F.SERVER_ERROR),
        (529, F.OVERLOADED),
    ],
)
@pytest.mark.parametrize("body", [None, "<h1>Bad gateway</h1>", ""], ids=["own body", "page", "no body"])
async def test_it_classifies_a_status(case: Case, status: int, category: Failure, body: Any) -> None:
    case.vendor.script(Fault(status=status, body=body))
    error = await case.fail()
    assert (error.category, error.status) == (category, status)
    assert (error.provider, error.model) == (case.kind, case.model)
    assert not error.nothing_sent
    assert error.__cause__ is not None
    assert len(case.vendor.calls) == 1


async def test_it_tells_the_request_id_of_an_error(case: Case) -> None:
    case.vendor.script(Fault(status=500))
    error = await case.fail()
    assert error.request_id == ("" if case.kind == "google" else case.last.id)  # Gemini's errors have none


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
async def test_it_reads_retry_after(case: Case, headers: dict[str, str], seconds: float | None) -> None:
    case.vendor.script(Fault(status=429, headers=headers))
    error = await case.fail()
    assert (error.category, error.retry_after) == (F.RATE_LIMITED, seconds)


async def test_it_reads_a_date_by_the_vendors_clock(case: Case) -> None:
    theirs = datetime(2001, 1, 1, tzinfo=UTC)  # however wrong ours is
    until = theirs + timedelta(seconds=90)
    headers = {
        "date": format_datetime(theirs, usegmt=True),
        "retry-after": format_datetime(until, usegmt=True),
    }
    case.vendor.script(Fault(status=503, headers=headers))
    assert (await case.fail()).retry_after == 90.0


def _google(status: int, message: str, word: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": word, "details": list(details)}}


def _claude(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _gpt(code: str | None, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": None}}


REASON = "type.googleapis.com/google.rpc.ErrorInfo"


@pytest.mark.parametrize(
    ("kind", "status", "body", "category"),
    [
        ("anthropic", 400, _claude("invalid_request_error", "prompt is too long: 210000 tokens"), F.CONTEXT_TOO_LONG),
        ("anthropic", 400, _claude("invalid_request_error", "Your credit balance is too low"), F.BILLING),
        ("openai", 400, _gpt("context_length_exceeded", "Your input exceeds"), F.CONTEXT_TOO_LONG),
        ("openai", 400, _gpt("invalid_prompt", "violating our usage policy"), F.REFUSED),
        ("openai", 429, _gpt("insufficient_quota", "You exceeded your current quota"), F.BILLING),
        ("openai", 429, _gpt("rate_limit_exceeded", "Rate limit reached"), F.RATE_LIMITED),
        ("openai_compatible", 400, _gpt(None, "maximum context length is 4096 tokens"), F.CONTEXT_TOO_LONG),
        ("openai_compatible", 400, _gpt("content_filter", "filtered by policy"), F.REFUSED),
        ("openai_compatible", 500, {"error": "the request exceeds the available context size"}, F.CONTEXT_TOO_LONG),
        ("openai_compatible", 422, {"detail": "field required"}, F.INVALID_REQUEST),
        (
            "google",
            400,
            _google(400, "API key not valid.", "INVALID_ARGUMENT", {"@type": REASON, "reason": "API_KEY_INVALID"}),
            F.AUTHENTICATION,
        ),
        (
            "google",
            400,
            _google(400, "The input token count (9) exceeds the maximum number of tokens allowed", "INVALID_ARGUMENT"),
            F.CONTEXT_TOO_LONG,
        ),
    ],
)  # fmt: skip
async def test_it_believes_the_body_before_the_status(
    open_case: Any, stream: bool, kind: str, status: int, body: Any, category: Failure
) -> None:
    case = open_case(kind, stream=stream)
    case.vendor.script(Fault(status=status, body=body))
    assert (await case.fail()).category is category


async def test_it_reads_geminis_retry_delay(open_case: Any, stream: bool) -> None:
    case = open_case("google", stream=stream)
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
    case.vendor.script(Fault(status=429, body=_google(429, "quota", "RESOURCE_EXHAUSTED", info)))
    assert (await case.fail()).retry_after == 34.0


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_it_calls_garbage_malformed(case: Case, garbage: FaultKind) -> None:
    case.vendor.script(Fault(garbage))
    error = await case.fail()
    assert error.category is F.MALFORMED
    assert len(case.vendor.calls) == 1


async def test_it_notices_a_reply_without_an_end(case: Case) -> None:
    case.vendor.script(Fault("cut_stream"))
    assert (await case.fail()).category is (F.CUT_STREAM if case.stream else F.MALFORMED)


async def test_it_notices_a_connection_lost_inside_the_reply(case: Case) -> None:
    case.vendor.script(Fault("broken_stream"))
    error = await case.fail()
    assert error.category is F.CUT_STREAM
    assert not error.nothing_sent


async def test_it_notices_a_reset_inside_the_stream(streamed: Case) -> None:
    streamed.vendor.script(Fault("reset_in_stream"))
    assert (await streamed.fail()).category is F.CUT_STREAM


@pytest.mark.parametrize(
    ("words", "category"),
    [
        ({"anthropic": "overloaded_error", "google": "overloaded_error", "": "slow_down"}, F.OVERLOADED),
        ({"anthropic": "rate_limit_error", "google": "RESOURCE_EXHAUSTED", "": "rate_limit_exceeded"}, F.RATE_LIMITED),
        ({"anthropic": "api_error", "google": "INTERNAL", "": "server_error"}, F.CUT_STREAM),
    ],
)  # fmt: skip
async def test_it_reads_error_events_in_streams(
    streamed: Case, words: dict[str, str], category: Failure
) -> None:
    streamed.vendor.script(Fault("error_event", error=words.get(streamed.kind, words[""])))
    error = await streamed.fail()
    assert error.category is category


async def test_it_gives_chunks_before_the_stream_fails(streamed: Case) -> None:
    streamed.vendor.script(Fault("error_event", error="overloaded_error"))
    chunks = streamed.provider.stream(streamed.request())
    assert await anext(chunks) == TextDelta("half of a good answer, t")
    with pytest.raises(ProviderError, match="scripted fault"):
        async for _ in chunks:
            pass


async def test_it_calls_an_outgrown_window_context_too_long(open_case: Any, stream: bool) -> None:
    case = open_case("anthropic", stream=stream)
    case.vendor.script(Reply("so far", stop_reason="model_context_window_exceeded"))
    assert (await case.fail()).category is F.CONTEXT_TOO_LONG


async def test_it_keeps_the_key_out_of_messages(case: Case) -> None:
    case.vendor.script(Fault(status=401, message="no such key: key-of-the-test"))
    error = await case.fail()
    assert "key-of-the-test" not in str(error)
    assert "***" in str(error)


async def test_it_refuses_a_bad_key(case: Case) -> None:
    provider = case.open(case.vendor.url, key="bad-key-of-a-tenant")
    assert (await case.fail(provider)).category is F.AUTHENTICATION


async def test_it_calls_a_fault_of_ours_internal(case: Case) -> None:
    case.capabilities = None  # type: ignore[assignment]
    assert (await case.fail()).category is F.INTERNAL
    assert not case.vendor.calls
