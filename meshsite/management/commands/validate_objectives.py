"""`manage.py validate_objectives`: is the service fit to answer the telephone?

The simulated carrier, callers and vendors are in tests/fakes, which the product does not import: they run as a
program of their own, which starts a service of its own.
"""

import subprocess
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Start the service with simulated vendors, call it, print a table; exits non-zero when a bar is missed."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--calls", type=int, default=100, help="calls at once in the soak")
        parser.add_argument("--seconds", type=float, default=60, help="that the soak lasts")

    def handle(self, *args: Any, **options: Any) -> None:
        if not (settings.BASE_DIR / "tests" / "fakes" / "validate.py").exists():
            raise CommandError(
                "tests/fakes is not installed here: the simulated callers and vendors are in it."
            )
        program = [sys.executable, "-m", "tests.fakes.validate"]
        chosen = ["--calls", str(options["calls"]), "--seconds", str(options["seconds"])]
        code = subprocess.run([*program, *chosen], cwd=settings.BASE_DIR, check=False).returncode
        if code:
            sys.exit(code)
