"""`manage.py sync_catalogue`: bring the model table up to agents/data/models.yaml."""

from typing import Any

from django.core.management.base import BaseCommand

from agents.services import sync_catalogue


class Command(BaseCommand):
    help = "Bring the model catalogue up to its seed file; what staff have edited is left alone."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{sync_catalogue()} models changed")
