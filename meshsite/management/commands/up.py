"""`manage.py up`: start everything in the foreground. `manage.py` itself takes the shorter way there."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from meshsite import supervisor


class Command(BaseCommand):
    help = "Start the embedded servers, the web and the workers in the foreground, with one log."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        supervisor.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        raise SystemExit(supervisor.up(workers=options["workers"], web=not options["no_web"]))
