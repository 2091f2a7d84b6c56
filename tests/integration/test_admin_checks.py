"""The checks that read the database."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents.models import CatalogueModel
from meshsite.checks import check_catalogue, check_numbers
from networks.models import Project
from voice.models import PhoneNumber

pytestmark = pytest.mark.django_db


def test_it_warns_sixty_days_before_a_model_goes() -> None:
    CatalogueModel.objects.all().delete()
    today = timezone.localdate()
    for name, days in (("gone", -1), ("soon", 60), ("later", 61)):
        CatalogueModel.objects.create(
            id=name, provider="openai", tier="standard", retires_on=today + timedelta(days=days)
        )
    found = check_catalogue(databases=["default"])
    assert [(message.id, message.msg.split()[1]) for message in found] == [
        ("mesh.W001", "gone"),
        ("mesh.W001", "soon"),
    ]


def test_it_warns_of_a_chain_that_names_an_unknown_model() -> None:
    CatalogueModel.objects.create(id="known", provider="openai", tier="standard", aliases=["alias"])
    Project.objects.create(name="Good", chain=["known", "alias"])
    Project.objects.create(name="Bad", chain=["known", "misspelt"])
    found = [message for message in check_catalogue(databases=["default"]) if message.id == "mesh.W002"]
    assert len(found) == 1
    assert "Bad" in found[0].msg
    assert "misspelt" in found[0].msg


def test_it_warns_of_numbers_that_no_carrier_can_call(settings: Any) -> None:
    settings.PUBLIC_BASE_URL = "https://mesh.example.com"
    settings.TWILIO = {**settings.TWILIO, "auth_token": ""}
    project = Project.objects.create(name="Acme")
    PhoneNumber.objects.create(project=project, number="+15005550006")  # as the demo has
    assert check_numbers(databases=["default"]) == []
    PhoneNumber.objects.create(project=project, number="+13105550123")
    assert [message.id for message in check_numbers(databases=["default"])] == ["mesh.W008"]
    settings.TWILIO = {**settings.TWILIO, "auth_token": "the account's own"}
    assert check_numbers(databases=["default"]) == []
