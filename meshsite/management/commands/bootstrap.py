"""`manage.py bootstrap`: migrate, and make what a first start needs. Running it again changes nothing."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from meshsite.bootstrap import BootstrapError, bootstrap


class Command(BaseCommand):
    help = "Migrate if needed; make the Demo project, its API key and network, and the admin login."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="end with one line of JSON, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = asdict(bootstrap(report=self.stdout.write))
        except BootstrapError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(made))
            return
        for name, value in made.items():
            self.stdout.write(f"{name}: {value}")
