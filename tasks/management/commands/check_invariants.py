"""`manage.py check_invariants`: is everything in the database as the engine promises?"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tasks.store.invariants import check

SHOWN = 5


class Command(BaseCommand):
    help = "Check what must always hold of runs, steps, events and the ledger of model calls."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--vendor-calls",
            type=Path,
            metavar="FILE",
            help='JSON, the calls that the vendors saw: {"provider": [{"id": …, "complete": …}, …]}',
        )

    def handle(self, *args: Any, vendor_calls: Path | None, **options: Any) -> None:
        findings = check(
            lease_seconds=settings.MESH_LEASE_SECONDS,
            sweep_seconds=settings.MESH_SWEEP_SECONDS,
            vendor_calls=json.loads(vendor_calls.read_text()) if vendor_calls else None,
        )
        for finding in findings:
            shown = " ".join(finding.offenders[:SHOWN])
            more = len(finding.offenders) - SHOWN
            verdict = f"{len(finding.offenders):>5} broken: {shown}" if finding.offenders else "   ok"
            self.stdout.write(f"{finding.rule:<52}{verdict}{f' and {more} more' if more > 0 else ''}")
        broken = sum(bool(finding.offenders) for finding in findings)
        if broken:
            raise CommandError(f"{broken} of {len(findings)} invariants are broken.")
