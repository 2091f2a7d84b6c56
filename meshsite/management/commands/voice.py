"""`manage.py voice`: one process that takes calls. Run one a core, each with a name and a port of its own."""

import logging
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from meshsite import metrics, tether
from voice import addresses
from voice.priority import go_first
from voice.runtime import VoiceRuntime
from voice.serving import VoiceServer, make_config
from voice.workers import NameTaken


class Command(BaseCommand):
    help = "Take calls until SIGTERM; then end after the last call. Streams reach this process by its name."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", default=settings.MESH_VOICE_NAME, help="default: MESH_VOICE_NAME")
        parser.add_argument("--host", default=settings.HOST, help="default: HOST")
        parser.add_argument(
            "--port", type=int, default=settings.MESH_VOICE_PORT, help="default: MESH_VOICE_PORT"
        )
        parser.add_argument("--slots", type=int, default=settings.MESH_VOICE_SLOTS, help="calls at once")

    def handle(self, *args: Any, **options: Any) -> None:
        # Every accepted stream is an INFO line of uvicorn's with its path, and so with its token.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        if settings.MESH_VOICE_REALTIME:
            go_first()
        tether.tie_forks()
        metrics.serve_voice()
        name, port = options["name"], options["port"]
        server = VoiceServer(
            make_config(host=options["host"], port=port),
            make=lambda: VoiceRuntime(
                name=name, address=addresses.own_address(name, port), capacity=options["slots"]
            ),
            drain_seconds=settings.MESH_VOICE_DRAIN_SECONDS,
        )
        try:
            server.run()
        except NameTaken as error:
            raise CommandError(
                f"The name is taken: {error}. Give each voice process a name of its own (--name)."
            ) from error
        if not server.started:
            sys.exit(3)
