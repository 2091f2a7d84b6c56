"""Reading a session's connector config: settings for all services, and for one under its name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .types import SttOptions, TtsOptions


def settings_for(extra: Mapping[str, Any], service: str, others: Sequence[str] = ()) -> dict[str, Any]:
    """Return the flat settings of one service: the common ones, overlaid with its own. Those under the names
    of `others` are left out."""
    own = extra.get(service)
    common = {key: value for key, value in extra.items() if key not in others and key != service}
    return common | (dict(own) if isinstance(own, Mapping) else {})


def stt_options(options: SttOptions, service: str, *, first: bool, names: Sequence[str]) -> SttOptions:
    """Return the options as one service of a chain gets them. A model named for all is meant for the first:
    the others would not know it."""
    return replace(options, extra=_chained(options.extra, service, first, names, ("model",)))


def tts_options(options: TtsOptions, service: str, *, first: bool, names: Sequence[str]) -> TtsOptions:
    """Return the options as one service of a chain gets them. A voice given beside the config is for the first
    service and goes before everything; then comes the service's own, then, for the first, the common one."""
    extra = _chained(options.extra, service, first, names, ("model", "voice"))
    voice = extra.get("voice") or ""
    if first and options.voice and options.voice != options.extra.get("voice"):
        voice = options.voice
    return replace(options, voice=str(voice), extra=extra)


def _chained(
    extra: Mapping[str, Any], service: str, first: bool, names: Sequence[str], private: Sequence[str]
) -> dict[str, Any]:
    if not first:
        own = extra.get(service)
        keep = set(own) if isinstance(own, Mapping) else set()
        extra = {key: value for key, value in extra.items() if key not in private or key in keep}
    return settings_for(extra, service, names)
