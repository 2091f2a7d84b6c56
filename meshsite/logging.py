"""One log for everything: structlog and the standard library, as JSON or as readable lines.

Every line carries the request id of the web request it belongs to and whatever was bound with
`structlog.contextvars.bind_contextvars(run_id=…, step_id=…, task_id=…)`; lower apps bind with structlog
itself and never import this module. Secrets are redacted last, so exceptions and library logs are covered.
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"(?i)(^|[_\-.])(authorization|cookie|password|passwd|secret|api_?key|auth_token|access_token|"
    r"refresh_token|encryption_key|credential|dsn)($|[_\-.](?!id$))|^token$"
)
# Each pattern keeps what tells the reader which secret it was: a prefix, a scheme, a name.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(mesh_)[A-Za-z0-9]{20,}"), r"\1" + REDACTED),  # our keys; metric names have more `_`
    (re.compile(r"\b((?:sk|rk|pk)-(?:ant-|proj-)?)[A-Za-z0-9_\-]{12,}"), r"\1" + REDACTED),
    (re.compile(r"\b(AIza)[A-Za-z0-9_\-]{20,}"), r"\1" + REDACTED),
    (re.compile(r"\b((?:AC|SK))[0-9a-f]{32}\b"), r"\1" + REDACTED),  # Twilio account and API key ids
    (re.compile(r"(?i)\b(bearer|basic)(\s+)(?=\S*[\d=_])[A-Za-z0-9._~+/=\-]{8,}"), r"\1\2" + REDACTED),
    (
        re.compile(
            r"(?i)((?:api[_-]?key|auth[_-]?token|access[_-]?token|password|secret)[\"']?\s*[=:]\s*[\"']?)"
            r"[^\s\"'&,;)}\]]{6,}"
        ),
        r"\1" + REDACTED,
    ),
    # Tokens of streams, hooks and links, in the lines that servers write about paths.
    (
        re.compile(r"(/ws/voice/(?:twilio/[^/\s]+|web)/|/voice/(?:offers|enter/[^/\s]+/[^/\s]+)/)[^/\s\"']+"),
        r"\1" + REDACTED,
    ),
    (
        re.compile(r"(/api/hooks/|/approve/)[^/\s\"'?]+"),
        r"\1" + REDACTED,
    ),
    (re.compile(r"(?i)([?&](?:key|token|signature)=)[^&\s\"']+"), r"\1" + REDACTED),
    (
        re.compile(r"(\b[a-z][a-z0-9+.\-]*://[^\s:/@]*:)[^\s@/]+(@)"),
        r"\1" + REDACTED + r"\2",
    ),  # URL passwords
    (re.compile(r"(?<![\w.+\-])(\+\d{2})\d{5,11}(\d{2})(?!\d)"), r"\1…\2"),  # E.164 telephone numbers
)
_EMAIL = re.compile(r"\b[\w.+\-]+@([\w\-]+\.[\w.\-]+)\b")
_MAX_DEPTH = 6
_known: re.Pattern[str] | None = None  # the installation's own secrets, whatever they look like


def redact(value: Any, *, emails: bool = False, _depth: int = 0) -> Any:
    """Return `value` with secrets replaced, in strings and inside mappings and sequences."""
    if isinstance(value, str):
        if _known is not None:
            value = _known.sub(REDACTED, value)
        for pattern, replacement in _PATTERNS:
            value = pattern.sub(replacement, value)
        return _EMAIL.sub(r"…@\1", value) if emails else value
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "replace"), emails=emails, _depth=_depth)
    if value is None or isinstance(value, bool | int | float):
        return value
    if _depth >= _MAX_DEPTH:
        return redact(str(value), emails=emails)
    if isinstance(value, Mapping):
        return {
            key: REDACTED
            if isinstance(key, str) and item and _SECRET_NAME.search(key)
            else redact(item, emails=emails, _depth=_depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, emails=emails, _depth=_depth + 1) for item in value]
    return redact(str(value), emails=emails)


def _redactor(emails: bool) -> Processor:
    def process(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        clean: EventDict = redact(event_dict, emails=emails)
        return clean

    return process


def _add_request_id(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Name the web request that a line belongs to, unless a worker has bound the one it works for."""
    from web.requests import current_request_id  # not at the top: settings import this, and no Django

    if "request_id" not in event_dict and (request_id := current_request_id()):
        event_dict["request_id"] = request_id
    return event_dict


def logging_config(
    level: str, form: str, *, secrets: Iterable[str] = (), redact_emails: bool = False
) -> dict[str, Any]:
    """Configure structlog and return the dictionary for Django's `LOGGING`.

    `form` is `console` or `json`. `secrets` are values that no line may contain; those under eight
    characters are left alone, for they would blank out ordinary words.
    """
    global _known
    known = sorted({secret for secret in secrets if len(secret) >= 8}, key=len, reverse=True)
    _known = re.compile("|".join(map(re.escape, known))) if known else None
    console = form == "console"
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [structlog.stdlib.ExtraAdder()],
        "processors": [
            structlog.contextvars.merge_contextvars,
            _add_request_id,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _redactor(redact_emails),
            # Exceptions are text by now, so that they pass the redaction as well.
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
            if console
            else structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
    }
    quiet = {"handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        # Naming a logger here takes away the handlers that its library gave it: one format for all.
        "loggers": {
            "django": quiet,
            "django.server": quiet,
            "uvicorn": quiet,
            "uvicorn.error": quiet,
            # A line for every poll of `?wait` is noise; the metrics count requests.
            "uvicorn.access": {**quiet, "level": "INFO" if level == "DEBUG" else "WARNING"},
            "celery": quiet,
            # Hints come by the hundred; what they lead to is logged by the engine.
            "celery.worker.strategy": {**quiet, "level": "WARNING"},
            "celery.app.trace": {**quiet, "level": "WARNING"},
            "kombu": {**quiet, "level": "WARNING"},
            "httpx2": {**quiet, "level": "WARNING"},  # its INFO line is the full URL of every model call
            "httpcore2": {**quiet, "level": "WARNING"},
            "anthropic": {**quiet, "level": "WARNING"},
            "openai": {**quiet, "level": "WARNING"},
            "google_genai": {**quiet, "level": "WARNING"},
            "asyncio": {**quiet, "level": "WARNING"},
        },
    }


def adopt_celery() -> None:
    """Keep Celery from installing its own handlers: connecting to this signal is how it is told."""
    from celery.signals import setup_logging

    setup_logging.connect(_leave_logging_alone, weak=False)


def _leave_logging_alone(**_: Any) -> None:
    logging.getLogger("celery").setLevel(logging.NOTSET)
