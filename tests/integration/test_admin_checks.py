"""The checks that read the catalogue."""

from datetime import timedelta

import pytest
from django.utils import timezone

from agents.models import CatalogueModel
from meshsite.checks import check_catalogue
from networks.models import Project

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
