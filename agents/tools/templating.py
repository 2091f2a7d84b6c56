"""Values put into a tool's address, headers and body: `{name}` and `{secret:name}`. Pure.

Simpler than the templates of workflows on purpose: a name, nothing to evaluate.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from .base import ToolFailed

_PLACE: Final = re.compile(r"\{(secret:)?([A-Za-z_][A-Za-z0-9_]{0,63})\}")


def fill(
    template: str, arguments: Mapping[str, Any], secrets: Mapping[str, str], *, url: bool = False
) -> str:
    """Put arguments and secrets into a text; in an address they are percent-encoded.

    Raises `ToolFailed` for a name that is not there.
    """

    def value(match: re.Match[str]) -> str:
        secret, name = match.groups()
        source: Mapping[str, Any] = secrets if secret else arguments
        if name not in source:
            what = "secret" if secret else "argument"
            raise ToolFailed("bad_tool_config", f"The tool has no {what} {name!r}.")
        found = source[name]
        text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
        if not url:
            return text
        if text in (".", ".."):  # would climb the path
            raise ToolFailed("bad_arguments", f"{text!r} cannot be part of an address.")
        return quote(text, safe="")

    return _PLACE.sub(value, template)


def fill_json(template: Any, arguments: Mapping[str, Any], secrets: Mapping[str, str]) -> Any:
    """Fill every text of a JSON value. A text that is one placeholder becomes the argument itself."""
    match template:
        case str():
            whole = _PLACE.fullmatch(template)
            if whole and not whole.group(1) and whole.group(2) in arguments:
                return arguments[whole.group(2)]
            return fill(template, arguments, secrets)
        case Mapping():
            return {key: fill_json(value, arguments, secrets) for key, value in template.items()}
        case list():
            return [fill_json(value, arguments, secrets) for value in template]
    return template


def redactor(secrets: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function that takes the secrets out of a text."""
    values = sorted((value for value in secrets.values() if len(value) >= 4), key=len, reverse=True)

    def redact(text: str) -> str:
        for value in values:
            text = text.replace(value, "•••")
        return text

    return redact
