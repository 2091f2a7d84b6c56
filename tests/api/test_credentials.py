"""Provider keys: encrypted at rest, the project's before the installation's, renewed without a query on the loop."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from agents import crypto
from agents.credentials import StoredCredentials, fingerprint, set_credential
from agents.models import CatalogueModel, ProviderCredential
from agents.selectors import load_catalogue
from agents.services import sync_catalogue

from .conftest import Caller


@pytest.fixture
def credentials(settings: Any) -> StoredCredentials:
    settings.PROVIDERS = {
        "anthropic": {"api_key": "ours", "base_url": "http://proxy"},
        "openai": {"api_key": ""},
        "openai_compatible": {"api_key": "", "base_url": "http://localhost:1/v1", "model": "llama"},
    }
    settings.MESH_ENCRYPTION_KEY = Fernet.generate_key().decode()
    return StoredCredentials()


def test_it_prefers_the_projects_own_key(
    owner: Caller, stranger: Caller, credentials: StoredCredentials
) -> None:
    set_credential(project_id=owner.project.pk, provider="anthropic", api_key="theirs")
    credentials.refresh()
    own = credentials.get(owner.project.pk, "anthropic")
    other = credentials.get(stranger.project.pk, "anthropic")
    assert own is not None
    assert other is not None
    assert (own.api_key, own.base_url, own.fingerprint) == ("theirs", "http://proxy", fingerprint("theirs"))
    assert (other.api_key, len(other.fingerprint)) == ("ours", 12)
    stored = bytes(ProviderCredential.objects.get().encrypted_key)
    assert b"theirs" not in stored


def test_it_skips_providers_without_a_key(owner: Caller, credentials: StoredCredentials) -> None:
    credentials.refresh()
    assert credentials.get(owner.project.pk, "openai") is None
    assert credentials.get("", "google") is None
    local = credentials.get("", "openai_compatible")
    assert local is not None
    assert local.model == "llama"


def test_it_knows_which_providers_anybody_has_a_key_for(
    owner: Caller, credentials: StoredCredentials
) -> None:
    assert credentials.providers() == {"anthropic", "openai_compatible"}
    set_credential(project_id=owner.project.pk, provider="google", api_key="theirs")
    credentials.refresh()
    assert credentials.providers() == {"anthropic", "openai_compatible", "google"}


@pytest.mark.django_db(transaction=True)
async def test_it_asks_no_database_on_an_event_loop(credentials: StoredCredentials) -> None:
    assert credentials.get("project_x", "anthropic") is not None


def test_it_reads_secrets_of_an_older_key(settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.MESH_ENCRYPTION_KEY = old
    token = crypto.encrypt("secret")
    settings.MESH_ENCRYPTION_KEY = f"{new}, {old}"
    assert crypto.decrypt(token) == "secret"
    renewed = crypto.rotate(token)
    settings.MESH_ENCRYPTION_KEY = new
    assert crypto.decrypt(renewed) == "secret"
    with pytest.raises(crypto.CannotDecrypt):
        crypto.decrypt(token)


def test_it_makes_a_key_of_this_machine_once(settings: Any, tmp_path: Path) -> None:
    settings.MESH_ENCRYPTION_KEY, settings.DATA_DIR = "", tmp_path
    crypto._key_of_this_machine.cache_clear()
    token = crypto.encrypt("secret")
    crypto._key_of_this_machine.cache_clear()
    assert crypto.decrypt(token) == "secret"
    assert [path.name for path in tmp_path.iterdir()] == ["encryption_key"]
    assert (tmp_path / "encryption_key").stat().st_mode & 0o777 == 0o600
    crypto._key_of_this_machine.cache_clear()


def test_it_seeds_the_catalogue_and_spares_what_staff_edited(admin_user: Any) -> None:
    resolved = load_catalogue().resolve("claude-3-7-sonnet")
    assert resolved is not None
    assert sync_catalogue() == 0
    edited, stale = CatalogueModel.objects.order_by("id")[:2]
    edited.tier = stale.tier = "mine"
    edited._history_user = admin_user  # type: ignore[attr-defined]
    edited.save()
    stale.save()
    CatalogueModel.objects.filter(pk=resolved.id).exclude(pk__in=[edited.pk, stale.pk]).delete()
    assert sync_catalogue() >= 1
    assert CatalogueModel.objects.get(pk=edited.pk).tier == "mine"
    assert CatalogueModel.objects.get(pk=stale.pk).tier != "mine"
    assert load_catalogue().resolve("claude-3-7-sonnet") is not None
