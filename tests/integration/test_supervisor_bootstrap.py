"""What a first start makes, and that a second one changes nothing."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.utils import timezone

from meshsite.bootstrap import BootstrapError, Made, bootstrap
from networks import keys
from networks.models import ApiKey, Network, Project
from workflows.models import Workflow
from workflows.services import archive

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    settings.MESH_API_KEY = ""


def run() -> Made:
    return bootstrap(report=lambda line: None)


def test_it_makes_a_project_with_a_key_a_network_and_a_login() -> None:
    made = run()
    key = ApiKey.objects.get(digest=keys.digest(made.api_key))
    network = Network.objects.get(pk=made.network_id)
    assert key.project == network.project == Project.objects.get(name="Demo")
    assert set(key.scopes) == {"read", "write", "admin", "voice"}
    assert network.agents.count() == 5
    assert authenticate(username=made.admin_user, password=made.admin_password)


def test_it_changes_nothing_the_second_time() -> None:
    assert run() == run()
    assert Project.objects.count() == Network.objects.count() == ApiKey.objects.count() == 1


def test_it_begins_with_the_examples_and_brings_back_none_that_is_gone() -> None:
    run()
    assert Workflow.objects.filter(published=1).count() == 4
    archive(workflow=Workflow.objects.get(name="Support triage"))
    run()
    assert Workflow.objects.filter(archived_at=None).count() == 3


def test_it_imports_the_key_it_is_given(settings: Any) -> None:
    settings.MESH_API_KEY = "a-key-that-somebody-chose-1"
    assert run().api_key == "a-key-that-somebody-chose-1"
    assert not (settings.DATA_DIR / "api_key").exists()


def test_it_refuses_a_short_key(settings: Any) -> None:
    settings.MESH_API_KEY = "short"
    with pytest.raises(BootstrapError, match="24 or more"):
        run()


def test_it_replaces_its_own_key_when_that_was_revoked() -> None:
    first = run().api_key
    ApiKey.objects.update(revoked_at=timezone.now())
    second = run().api_key
    assert second != first
    assert run().api_key == second
