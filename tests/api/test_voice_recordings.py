"""Recordings over HTTP: for those who may see the call, whole or in parts."""

import wave
from pathlib import Path
from typing import Any

import pytest

from networks.models import Network
from voice import recordings
from voice.audio import TELEPHONE
from voice.models import PhoneCall
from voice.records import Kind

from .conftest import Caller
from .voice_world import make_call

pytestmark = pytest.mark.django_db


class Records:
    """A call log's writer that remembers."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []

    def put(self, kind: Kind, row: dict[str, Any], *, urgent: bool = False) -> None:
        self.records.append((kind, row))


@pytest.fixture
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_STORAGE_URL = str(tmp_path)
    return tmp_path


@pytest.fixture
def call(network: Network, media: Path) -> PhoneCall:
    """A call with a second of recording."""
    call = make_call(network)
    writer = Records()
    recorder = recordings.recorder_for(
        writer,
        project_id=call.project_id,
        call_id=call.pk,
        format=TELEPHONE,
    )()
    recorder.caller(b"\xff" * 8000, 1000.0)
    recorder.close()
    [(kind, row)] = writer.records
    assert (kind, row["call"]) == ("recording", call.pk)
    call.recording = row["place"]
    call.save()
    return call


def path(call: PhoneCall) -> str:
    return f"/api/voice/calls/{call.pk}/recording"


def test_it_gives_the_recording_to_its_owner(owner: Caller, call: PhoneCall, tmp_path: Path) -> None:
    response = owner.get(path(call))
    assert (response.status_code, response["Content-Type"]) == (200, "audio/wav")
    assert response["Cache-Control"] == "private, no-store"
    (tmp_path / "got.wav").write_bytes(response.content)
    with wave.open(str(tmp_path / "got.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 8000)


def test_it_lets_nobody_else_read_the_file(call: PhoneCall) -> None:
    file = recordings.path_of(call)
    assert file is not None
    assert file.stat().st_mode & 0o077 == 0


def test_it_shows_a_stranger_nothing(stranger: Caller, call: PhoneCall) -> None:
    assert stranger.get(path(call)).status_code == 404


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("bytes=0-3", slice(0, 4)), ("bytes=4-", slice(4, None)), ("bytes=-5", slice(-5, None))],
)
def test_it_gives_a_part(owner: Caller, call: PhoneCall, wanted: str, part: slice) -> None:
    whole = owner.get(path(call)).content
    response = owner.get(path(call), Range=wanted)
    assert (response.status_code, response.content) == (206, whole[part])
    assert response["Content-Range"].endswith(f"/{len(whole)}")


@pytest.mark.parametrize("wanted", ["bytes=9999999-", "bytes=5-4"])
def test_it_says_that_there_is_no_such_part(owner: Caller, call: PhoneCall, wanted: str) -> None:
    assert owner.get(path(call), Range=wanted).status_code == 416


@pytest.mark.parametrize("wanted", ["bytes=-", "pages=1-2", "bytes=a-b", "bytes=0-1,4-5"])
def test_it_gives_the_whole_where_the_range_makes_no_sense(
    owner: Caller, call: PhoneCall, wanted: str
) -> None:
    assert owner.get(path(call), Range=wanted).status_code == 200


def test_it_says_that_there_is_none(owner: Caller, network: Network, media: Path) -> None:
    assert owner.get(path(make_call(network))).status_code == 404


@pytest.mark.parametrize("place", ["../secret.wav", "/etc/passwd", "recordings/../secret.wav"])
def test_it_serves_nothing_outside_of_its_folder(
    owner: Caller, network: Network, media: Path, place: str
) -> None:
    (media / "secret.wav").write_bytes(b"secret")
    assert owner.get(path(make_call(network, recording=place))).status_code == 404


def test_it_deletes_a_recording(owner: Caller, call: PhoneCall) -> None:
    file = recordings.path_of(call)
    assert file is not None
    recordings.delete(call)
    assert not file.exists()
    assert owner.get(path(call)).status_code == 404


def test_it_deletes_the_recording_with_its_project(owner: Caller, call: PhoneCall) -> None:
    file = recordings.path_of(call)
    assert file is not None
    owner.project.delete()
    assert not file.exists()


def test_it_keeps_none_where_there_is_no_folder(settings: Any, network: Network) -> None:
    settings.MEDIA_STORAGE_URL = "s3://bucket/calls"
    opening = recordings.recorder_for(
        Records(),
        project_id="p",
        call_id="c",
        format=TELEPHONE,
    )
    with pytest.raises(OSError):
        opening()
