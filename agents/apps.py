from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AgentsConfig(AppConfig):
    name = "agents"
    verbose_name = "Agents and models"

    def ready(self) -> None:
        post_migrate.connect(_seed_catalogue, sender=self)


def _seed_catalogue(**kwargs: Any) -> None:
    """The models of the seed file are there as soon as their table is."""
    from .models import CatalogueModel
    from .services import sync_catalogue

    if CatalogueModel._meta.db_table in _tables():  # a migration backwards ends here as well
        sync_catalogue()


def _tables() -> list[str]:
    from django.db import connection

    return connection.introspection.table_names()
