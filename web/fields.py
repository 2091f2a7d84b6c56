"""Model fields that every app uses."""

from typing import Any

from django.db import models

from .ids import new_id


class IdFactory:
    """A default for primary keys that migrations can write down."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def __call__(self) -> str:
        return new_id(self.prefix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdFactory) and other.prefix == self.prefix

    def __hash__(self) -> int:
        return hash(self.prefix)

    def deconstruct(self) -> tuple[str, tuple[str], dict[str, Any]]:
        return "web.fields.IdFactory", (self.prefix,), {}


def id_field(prefix: str) -> "models.CharField[str, str]":
    """A primary key such as `task_01j…`; the C collation makes it sort by creation time."""
    return models.CharField(
        primary_key=True, max_length=40, default=IdFactory(prefix), editable=False, db_collation="C"
    )


def ref_field(**options: Any) -> "models.CharField[str, str]":
    """A plain id of a row that lives in a higher app or must not be locked by a foreign key."""
    return models.CharField(max_length=40, db_collation="C", **options)
