"""The bus, for those who do without it where there is none. Imports no NATS before it is needed: it is an extra."""

import os
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING

import orjson
from django.conf import settings

from voice.session_copies import Copy

from .subjects import Subjects

if TYPE_CHECKING:
    from .publishing import Publisher
    from .stages import Stages

_lock = threading.Lock()
_publisher: "Publisher | None" = None
_made_by = 0


def usable() -> bool:
    """Whether there is a server to go to (the checks tell of a package that is missing)."""
    return bool(settings.NATS_URL) and find_spec("nats") is not None


def subjects() -> Subjects:
    return Subjects(settings.NATS_PREFIX)


def make_stages() -> "Stages | None":
    """The stages that the settings name as living outside; None when all are in process."""
    if not usable() or not settings.MESH_VOICE_STAGES:
        return None
    from .stages import Stages

    return Stages(settings.NATS_URL, frozenset(settings.MESH_VOICE_STAGES), subjects())


def publisher() -> "Publisher | None":
    """What publishes on JetStream, one a process; None without a server."""
    global _publisher, _made_by
    if not usable():
        return None
    from .publishing import Publisher

    if _publisher is None or _made_by != os.getpid():  # a thread does not survive a fork
        with _lock:
            if _publisher is None or _made_by != os.getpid():
                _publisher, _made_by = Publisher(settings.NATS_URL, subjects()), os.getpid()
    return _publisher


def forget() -> None:
    """Close this process's publisher, if it was made."""
    global _publisher
    with _lock:
        found, _publisher = _publisher, None
    if found is not None and _made_by == os.getpid():
        found.close()


def publish_config(copy: Copy) -> None:
    """A session's config is new, or has changed. Returns at once."""
    found = publisher()
    if found is not None:
        payload = orjson.loads(copy.pack())
        found.put(subjects().config(copy.session_id), payload, f"{copy.session_id}.{copy.version}")
