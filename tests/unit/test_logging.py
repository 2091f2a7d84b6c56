"""The log: one format, ids on every line, no secret in any of them."""

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from meshsite.logging import logging_config, redact

TAIL = "a1B2c3D4" * 3  # what follows the prefix of a made-up key


@pytest.fixture
def lines() -> Iterator[Any]:
    """Log through the real configuration into memory; yields a function that returns the parsed lines."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    stream = io.StringIO()
    config = logging_config("INFO", "json", secrets=["the-installation-key", "short"])
    config["handlers"]["stderr"]["stream"] = stream
    logging.config.dictConfig(config)
    structlog.contextvars.clear_contextvars()
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level
    logging_config("INFO", "json")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("key mesh_01j8zq4w7v9k2m5n8p3r6t1x4yabcd", "key mesh_[redacted]"),
        ("sk-ant-" + TAIL + " is wrong", "sk-ant-[redacted] is wrong"),
        ("sk-proj-" + TAIL, "sk-proj-[redacted]"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "AIza[redacted]"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted]"),
        ("AC0123456789abcdef0123456789abcdef", "AC[redacted]"),
        ("auth_token=0123456789abcdef", "auth_token=[redacted]"),
        ("postgres://mesh:hunter2@db:5432/mesh", "postgres://mesh:[redacted]@db:5432/mesh"),
        ("redis://:hunter2@cache/0", "redis://:[redacted]@cache/0"),
        ("calls from +4915112345678 today", "calls from +49…78 today"),
        ("GET /ws/voice/twilio/voice-1/abc.def-_ 101", "GET /ws/voice/twilio/voice-1/[redacted] 101"),
        ("/ws/voice/web/abc.def?x", "/ws/voice/web/[redacted]"),
        ("/voice/enter/voice-1/daily/abc.def", "/voice/enter/voice-1/daily/[redacted]"),
        ("POST /api/hooks/hook_a1-B2_c3 202", "POST /api/hooks/[redacted] 202"),
        ("GET /approve/eyJh.abc:def:ghi 200", "GET /approve/[redacted] 200"),
        ("https://x.test/v1?key=abcdef&a=1", "https://x.test/v1?key=[redacted]&a=1"),
    ],
)
def test_it_redacts_secrets_in_text(text: str, kept: str) -> None:
    assert redact(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "task_01j8zq4w7v9k2m5n8p3r6t1x4y of network_01j8zq4w7v9k2m5n8p3r6t1x4y",
        "mesh_model_call_seconds_bucket",
        "basic authentication failed",
        "2026-11-21T07:44:50.406569Z took 1234567 µs",
        "http://localhost:8080/api/mesh/networks",
        "/ws/voice/twilio/voice-1",
    ],
)
def test_it_leaves_ordinary_text_alone(text: str) -> None:
    assert redact(text) == text


def test_it_redacts_by_name_in_nested_values() -> None:
    value = {
        "headers": {"Authorization": "x"},
        "list": [{"api_key": "y", "input_tokens": 7, "key_id": "key_1"}],
    }
    assert redact(value) == {
        "headers": {"Authorization": "[redacted]"},
        "list": [{"api_key": "[redacted]", "input_tokens": 7, "key_id": "key_1"}],
    }


def test_it_redacts_emails_when_asked() -> None:
    assert redact("to jane.doe@example.com", emails=True) == "to …@example.com"
    assert redact("to jane.doe@example.com") == "to jane.doe@example.com"


def test_it_binds_ids_to_lines_of_structlog_and_of_libraries(lines: Any) -> None:
    structlog.contextvars.bind_contextvars(run_id="run_1", step_id="step_2")
    structlog.get_logger("tasks").info("step claimed", count=3)
    logging.getLogger("library").warning("slow %s", "socket", extra={"seconds": 4})
    ours, theirs = lines()
    assert (ours["event"], ours["count"], ours["run_id"], ours["step_id"]) == (
        "step claimed",
        3,
        "run_1",
        "step_2",
    )
    assert (theirs["event"], theirs["seconds"], theirs["run_id"]) == ("slow socket", 4, "run_1")
    assert not [name for name in ours if name.startswith("_")]


def test_it_redacts_exceptions_and_the_installations_own_secrets(lines: Any) -> None:
    try:
        raise ValueError("refused: the-installation-key and sk-ant-" + TAIL)
    except ValueError:
        logging.getLogger("library").exception("call failed")
        structlog.get_logger("ours").exception("call failed")
    for line in lines():
        assert "ValueError: refused: [redacted] and sk-ant-[redacted]" in line["exception"]


def test_it_does_not_blank_out_words_that_are_short_secrets(lines: Any) -> None:
    structlog.get_logger("ours").info("a short line")
    assert lines()[0]["event"] == "a short line"


def test_it_keeps_access_lines_out_unless_debugging(lines: Any) -> None:
    logging.getLogger("uvicorn.access").info("GET /livez 200")
    assert lines() == []
    assert logging_config("DEBUG", "json")["loggers"]["uvicorn.access"]["level"] == "INFO"
