"""Calls and recordings are kept as long as the settings say."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from networks.models import Network
from voice import retention, workers
from voice.models import CallEvent, PhoneCall, Turn

from .conftest import Caller
from .voice_world import make_call

pytestmark = pytest.mark.django_db


@pytest.fixture
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_STORAGE_URL = str(tmp_path)
    (tmp_path / "recordings").mkdir()
    return tmp_path


def old_call(network: Network, media: Path, days: float, **values: Any) -> PhoneCall:
    """A call of so many days ago, with a recording."""
    call = make_call(network, **values)
    call.recording = f"recordings/{call.pk}.wav"
    call.save()
    (media / call.recording).write_bytes(b"RIFF")
    PhoneCall.objects.filter(pk=call.pk).update(created_at=timezone.now() - timedelta(days=days))
    return call


def test_it_keeps_everything_unless_told_otherwise(network: Network, media: Path) -> None:
    call = old_call(network, media, 5000)
    workers.sweep()
    assert (media / call.recording).exists()
    assert call.turns.exists()


def test_it_deletes_old_calls_with_all_that_was_said(
    owner: Caller, network: Network, media: Path, settings: Any
) -> None:
    settings.MESH_VOICE_CALL_DAYS = 30
    old, young = old_call(network, media, 30.1), old_call(network, media, 29.9)
    workers.sweep()
    assert owner.get(f"/api/voice/calls/{old.pk}").status_code == 404
    assert not Turn.objects.filter(call_id=old.pk).exists()
    assert not CallEvent.objects.filter(call_id=old.pk).exists()
    assert not (media / old.recording).exists()
    assert owner.get(f"/api/voice/calls/{young.pk}").status_code == 200
    assert (media / young.recording).exists()


def test_it_deletes_recordings_sooner_than_calls(
    owner: Caller, network: Network, media: Path, settings: Any
) -> None:
    settings.MESH_VOICE_CALL_DAYS, settings.MESH_VOICE_RECORDING_DAYS = 30, 7
    call, young = old_call(network, media, 8), old_call(network, media, 6)
    assert retention.purge() == 1
    assert not (media / call.recording).exists()
    assert owner.get(f"/api/voice/calls/{call.pk}/recording").status_code == 404
    assert owner.get(f"/api/voice/calls/{call.pk}").json()["turns"]
    assert (media / young.recording).exists()
    assert retention.purge() == 0


@pytest.mark.parametrize("state", ["active", "reserved", "dialling"])
def test_it_deletes_no_call_that_runs(network: Network, media: Path, settings: Any, state: str) -> None:
    settings.MESH_VOICE_CALL_DAYS = settings.MESH_VOICE_RECORDING_DAYS = 1
    call = old_call(network, media, 2, state=state)
    assert retention.purge() == 0
    assert (media / call.recording).exists()


def test_a_file_that_stays_keeps_its_call_and_no_other(
    network: Network, tmp_path: Path, settings: Any
) -> None:
    settings.MEDIA_STORAGE_URL, settings.MESH_VOICE_CALL_DAYS = str(tmp_path), 1
    (tmp_path / "recordings").symlink_to("/proc/self")  # where nobody can delete a file
    past = timezone.now() - timedelta(days=3)
    stuck, other = make_call(network, recording="recordings/status"), make_call(network)
    PhoneCall.objects.update(created_at=past)
    assert retention.purge() == 1
    assert list(PhoneCall.objects.all()) == [stuck]
    assert other.pk != stuck.pk
