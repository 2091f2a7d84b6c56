"""Session configs to start from: the design's own example, and changes to it."""

import json
from typing import Any

#: The design's own example, as it stands there.
EXAMPLE = """{"system_prompt": "...", "pipeline": {"name": "voice_chat", "flow": [{"from":"transport","to":"stt","stream":"audio"}, {"from":"stt","to":"llm","stream":"text"}, {"from":"llm","to":"tts","stream":"text"}, {"from":"tts","to":"transport","stream":"audio"}]},
     "connectors": {"stt": {"primary":"deepgram","fallback":["openai","local"],"config":{}}, "llm": {"primary":"network","fallback":[],"config":{}}, "tts": {"primary":"elevenlabs","fallback":["azure","openai","local"],"config":{}}, "transport": {"primary":"twilio","config":{}}},
     "turn": {"silence_ms":200, "interrupt":"pause_then_decide", "max_call_seconds":3600, "greeting":"..."}}"""  # noqa: E501


def changed(*path: Any, to: Any) -> dict[str, Any]:
    """The example with one value put, or removed when `to` is an ellipsis."""
    body: dict[str, Any] = json.loads(EXAMPLE)
    place: Any = body
    for step in path[:-1]:
        place = place[step]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return body


def arrows(*pairs: str) -> list[dict[str, str]]:
    """`"stt>llm"` as an arrow."""
    return [{"from": pair.split(">")[0], "to": pair.split(">")[1]} for pair in pairs]
