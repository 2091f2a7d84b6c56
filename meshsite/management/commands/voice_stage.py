"""`manage.py voice_stage stt`: a process that does stages of calls for voice processes, over NATS."""

import asyncio
import signal
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from meshsite import metrics, tether
from voice.bus import access
from voice.bus.subjects import KINDS


class Command(BaseCommand):
    help = (
        "Do the work of voice stages until SIGTERM; then end after what was begun. Run as many as are needed; "
        "MESH_VOICE_STAGES tells the voice processes which kinds there are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("stages", nargs="+", choices=KINDS, metavar="|".join(KINDS))
        parser.add_argument("--name", default="", help="default: the stages' names")
        parser.add_argument(
            "--drain-seconds", type=float, default=20.0, help="how long works that were begun may go on"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.NATS_URL:
            raise CommandError("NATS_URL is not set: there is nothing to get work from.")
        if not access.usable():
            raise CommandError("nats-py is not installed: pip install -r requirements-extras.txt")
        kinds = tuple(dict.fromkeys(options["stages"]))
        name = options["name"] or "-".join(kinds)
        if not name.replace("-", "").replace("_", "").isalnum():
            raise CommandError("A name has letters, digits, - and _ only.")
        from voice.stage_process import serve

        tether.tie_forks()
        metrics.serve_voice()
        asyncio.run(_run(partial(serve, kinds, name, drain_seconds=options["drain_seconds"])))


async def _run(serve: Callable[..., Awaitable[None]]) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    await serve(over=over)
