"""Where recordings of calls are kept: a folder, `MEDIA_STORAGE_URL`. Only of callers who agreed; that the call decides.

{folder}/recordings/{project}/{call}.wav      stereo: the caller left, the agent right
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from django.conf import settings

from voice.audio import AudioFormat
from voice.models import PhoneCall
from voice.pipeline.recording import StereoRecorder
from voice.records import RecordWriter
from voice.storage import media_folder

FOLDER: Final = "recordings"


def recorder_for(
    writer: RecordWriter, *, project_id: str, call_id: str, format: AudioFormat
) -> Callable[[], StereoRecorder]:
    """Return what opens a call's recording, readable by nobody else, and writes down where it is.

    Raises OSError when called where recordings cannot be kept.
    """

    def open_recorder() -> StereoRecorder:
        folder = media_folder(settings.MEDIA_STORAGE_URL)
        if folder is None:
            raise OSError("MEDIA_STORAGE_URL names no folder")
        place = f"{FOLDER}/{project_id}/{call_id}.wav"
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        recorder = StereoRecorder(path, format)
        writer.put("recording", {"call": call_id, "place": place})
        return recorder

    return open_recorder


def path_of(call: PhoneCall) -> Path | None:
    """The file of a call's recording; None when there is none (any more)."""
    folder = media_folder(settings.MEDIA_STORAGE_URL)
    if folder is None or not call.recording:
        return None
    root = (folder / FOLDER).resolve()
    path = (folder / call.recording).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None


def delete(call: PhoneCall) -> None:
    """Delete a call's recording, file first. Raises OSError when the file stays."""
    delete_file(call)
    call.recording = ""
    call.save(update_fields=["recording"])


def delete_file(call: PhoneCall) -> None:
    """Delete the file alone. Raises OSError when it stays."""
    if path := path_of(call):
        path.unlink(missing_ok=True)
