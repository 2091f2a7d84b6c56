"""`manage.py livekit_numbers`: have LiveKit take the calls to our numbers and give every caller a room."""

import asyncio
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from voice.addresses import webhook_url
from voice.models import PhoneNumber
from voice.rooms import livekit_keys
from voice.transports.extras import MissingPackage
from voice.transports.livekit_rooms import LiveKitRooms
from voice.transports.vendor import VendorFailed

NAME: Final = "ai-mesh-network"  # of the trunk and of the rule


class Command(BaseCommand):
    help = "Create LiveKit's SIP trunk and dispatch rule for the active telephone numbers, unless they are there."

    def handle(self, *args: Any, **options: Any) -> None:
        if not all(settings.LIVEKIT[name] for name in ("url", "api_key", "api_secret")):
            raise CommandError("Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET first.")
        numbers = list(PhoneNumber.objects.filter(active=True).values_list("number", flat=True))
        if not numbers:
            raise CommandError("There is no active telephone number; register one first.")
        try:
            trunk, rule = asyncio.run(_ensure(numbers))
        except (VendorFailed, MissingPackage) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"trunk {trunk} takes {', '.join(numbers)}; rule {rule} gives every caller a room.")
        self.stdout.write(f"In LiveKit's settings, send webhooks to {webhook_url('/livekit/webhook')}.")


async def _ensure(numbers: list[str]) -> tuple[str, str]:
    async with LiveKitRooms(livekit_keys()) as rooms:
        trunk = await rooms.ensure_inbound(NAME, numbers)
        return trunk, await rooms.ensure_dispatch(NAME, [trunk])
