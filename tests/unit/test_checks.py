"""System checks: each finding has an id and a hint, and a good environment has none."""

from typing import Any

import pytest
from cryptography.fernet import Fernet

from meshsite import checks


@pytest.fixture
def good(settings: Any) -> Any:
    settings.DATABASE_URL = "postgres://mesh@db/mesh"
    settings.REDIS_URL = settings.CELERY_BROKER_URL = "redis://cache:6379/0"
    settings.PUBLIC_BASE_URL, settings.DEBUG, settings.SECRET_KEY = (
        "https://mesh.example.com",
        False,
        "k" * 50,
    )
    settings.MESH_API_KEY, settings.MESH_ENCRYPTION_KEY = "a" * 24, Fernet.generate_key().decode()
    settings.MESH_LEASE_SECONDS, settings.MESH_SWEEP_SECONDS = 30.0, 5.0
    settings.MESH_WORKERS, settings.MESH_WORKER_STEPS, settings.MESH_VOICE = 2, 256, "inline"
    settings.METRICS_TOKEN = "t" * 24
    settings.PUBLIC_VOICE_URL = settings.NATS_URL = ""
    settings.TWILIO = {"account_sid": "", "auth_token": "t", "phone_number": "", "base_url": ""}
    settings.PROVIDERS = {"anthropic": {"api_key": "", "base_url": "http://localhost:9000"}}
    return settings


def test_it_finds_nothing_wrong_with_a_good_environment(good: Any) -> None:
    assert checks.check_environment() == []
    assert checks.check_exposure() == []


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("DATABASE_URL", "mysql://db/mesh", "mesh.E001"),
        ("REDIS_URL", "http://cache", "mesh.E002"),
        ("CELERY_BROKER_URL", "amqp://rabbit", "mesh.E002"),
        ("SECRET_KEY", "short", "mesh.E003"),
        ("SECRET_KEY", "insecure-only-until-DJANGO_SECRET_KEY-is-set", "mesh.E003"),
        ("MESH_API_KEY", "a" * 23, "mesh.E004"),
        ("MESH_ENCRYPTION_KEY", "not-a-fernet-key", "mesh.E005"),
        ("MESH_SWEEP_SECONDS", 30.0, "mesh.E006"),
        ("MESH_SWEEP_SECONDS", 0.0, "mesh.E006"),
        ("MESH_WORKERS", 0, "mesh.E007"),
        ("MESH_WORKER_STEPS", 0, "mesh.E007"),
        ("PROVIDERS", {"openai": {"base_url": "localhost:8000"}}, "mesh.E008"),
        ("PROVIDERS", {"openai": {"base_url": "ftp://x"}}, "mesh.E008"),
        ("MESH_VOICE", "loud", "mesh.E009"),
        ("METRICS_TOKEN", "short", "mesh.E010"),
        ("MESH_VOICE_SLOTS", 0, "mesh.E011"),
        ("MESH_VOICE_PROCESSES", -1, "mesh.E011"),
        ("MESH_VOICE_DRAIN_SECONDS", -1, "mesh.E011"),
        ("MESH_VOICE_NAME", "voice/1", "mesh.E011"),
        ("PUBLIC_VOICE_URL", "https://voice.example.com", "mesh.E012"),
        ("MESH_VOICE_INNER_URL", "ws://{worker}:8090", "mesh.E018"),
        ("MESH_VOICE_INNER_URL", "http://voice-1:8090", "mesh.E018"),
        ("TWILIO", {"account_sid": "", "base_url": "localhost:9100"}, "mesh.E013"),
        ("MESH_VOICE_STAGES", ["stt"], "mesh.E014"),
        ("MEDIA_STORAGE_URL", "s3://bucket/calls", "mesh.E011"),
        ("REDIS_URL", "", "mesh.W003"),
        ("NATS_URL", "localhost:4222", "mesh.E016"),
        ("NATS_PREFIX", "a.b", "mesh.E017"),
    ],
)
def test_it_names_what_is_wrong_and_what_to_do(good: Any, name: str, value: object, finding: str) -> None:
    setattr(good, name, value)
    found = checks.check_environment()
    assert [message.id for message in found] == [finding]
    assert found[0].hint


@pytest.mark.parametrize(("name", "value"), [("PUBLIC_BASE_URL", "http://localhost:8080"), ("DEBUG", True)])
def test_it_allows_a_weak_secret_on_this_machine(good: Any, name: str, value: object) -> None:
    good.SECRET_KEY = "short"
    setattr(good, name, value)
    assert checks.check_environment() == []


def test_it_says_what_is_open_to_strangers(good: Any) -> None:
    good.METRICS_TOKEN, good.DEBUG = "", True
    assert [message.id for message in checks.check_exposure()] == ["mesh.W004", "mesh.W005"]


def test_it_does_not_read_the_database_unless_asked() -> None:
    assert checks.check_catalogue(databases=None) == []


def test_it_names_the_extras_that_are_missing(good: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    good.LIVEKIT = {"url": "wss://livekit.example.com"}
    assert checks.check_environment() == []
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert [message.id for message in checks.check_environment()] == ["mesh.W007"]


def test_it_knows_the_stages_that_can_live_outside(good: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    good.NATS_URL, good.MESH_VOICE_STAGES = "nats://user:secret@nats:4222", ["stt", "llm"]
    assert checks.check_environment() == []
    good.MESH_VOICE_STAGES = ["stt", "vad"]
    assert [message.id for message in checks.check_environment()] == ["mesh.E015"]
    good.MESH_VOICE_STAGES = []
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert [message.id for message in checks.check_environment()] == ["mesh.W007"]


def test_it_warns_of_a_carrier_that_cannot_reach_us(good: Any) -> None:
    good.TWILIO = {"account_sid": "AC1", "base_url": ""}
    assert checks.check_environment() == []
    good.PUBLIC_BASE_URL = "http://mesh.example.com"
    assert [message.id for message in checks.check_environment()] == ["mesh.W006"]
    good.TWILIO = {"account_sid": "AC1", "base_url": "http://localhost:9100"}  # a simulated one
    assert checks.check_environment() == []
