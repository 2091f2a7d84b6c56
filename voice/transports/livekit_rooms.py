"""LiveKit's server API: rooms, who may enter them, and how telephone callers get there. Pure.

By LiveKit's own SDK; every method asks the server once and raises `VendorFailed` when it refuses or is away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import ModuleType
from typing import Any, Final

from .extras import load
from .vendor import VendorFailed

TIMEOUT_SECONDS: Final = 10.0
AGENT: Final = "agent"  # our participant's identity
CALLER: Final = "caller"
PHONE_ROOMS: Final = "phone-"  # how the rooms of telephone callers begin


@dataclass(frozen=True, slots=True)
class LiveKitKeys:
    """`url` is the server's: wss://… or https://…"""

    url: str
    api_key: str
    api_secret: str = field(repr=False)


def token(
    keys: LiveKitKeys, *, room: str, identity: str, seconds: int, name: str = "", agent: bool = False
) -> str:
    """Make a token that lets one participant into one room, to speak and to hear. Asks nobody."""
    api = _api()
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        can_publish=True,
        can_subscribe=True,
        can_publish_data=True,
        can_publish_sources=["microphone"],
        agent=agent or None,
    )
    made = api.AccessToken(keys.api_key, keys.api_secret).with_identity(identity).with_name(name or identity)
    signed: str = made.with_ttl(timedelta(seconds=seconds)).with_grants(grants).to_jwt()
    return signed


def read_webhook(keys: LiveKitKeys, body: str, authorization: str) -> Any:
    """Return a webhook's event, when it was signed with our secret; raises `VendorFailed` otherwise."""
    api = _api()
    try:
        return api.WebhookReceiver(api.TokenVerifier(keys.api_key, keys.api_secret)).receive(
            body, authorization
        )
    except Exception as error:  # the SDK raises bare ones
        raise VendorFailed("livekit", f"the webhook is not LiveKit's: {error}", status=401) from error


class LiveKitRooms:
    """One server and project. `aclose` it, or use it as a context."""

    def __init__(self, keys: LiveKitKeys) -> None:
        """Raises `MissingPackage`. Belongs to the event loop it is made on."""
        import aiohttp

        self._sdk = _api()
        # Without the failover of LiveKit's cloud: a caller waits for this answer.
        self._api = self._sdk.LiveKitAPI(
            keys.url,
            keys.api_key,
            keys.api_secret,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            failover=False,
        )

    async def __aenter__(self) -> "LiveKitRooms":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._api.aclose()

    async def create(self, name: str, *, empty_seconds: int, metadata: str = "") -> str:
        """Make a room that is kept for so long while it is empty; return its sid. An existing one is kept."""
        wanted = self._sdk.CreateRoomRequest(
            name=name, empty_timeout=empty_seconds, max_participants=4, metadata=metadata
        )
        room = await self._ask(self._api.room.create_room(wanted))
        return str(room.sid)

    async def delete(self, name: str) -> None:
        """Send everybody out. A room that is not there is no error."""
        try:
            await self._ask(self._api.room.delete_room(self._sdk.DeleteRoomRequest(room=name)))
        except VendorFailed as error:
            if error.status != 404:
                raise

    async def remove(self, room: str, identity: str) -> None:
        """Send one participant out: for a telephone caller, hang up."""
        wanted = self._sdk.RoomParticipantIdentity(room=room, identity=identity)
        await self._ask(self._api.room.remove_participant(wanted))

    async def transfer(self, room: str, identity: str, to: str) -> None:
        """Hand a telephone caller over by SIP REFER. `to` is tel:… or sip:…"""
        wanted = self._sdk.TransferSIPParticipantRequest(
            room_name=room, participant_identity=identity, transfer_to=to, play_dialtone=False
        )
        await self._ask(self._api.sip.transfer_sip_participant(wanted))

    async def dial(self, room: str, to: str, *, trunk_id: str, identity: str = CALLER) -> None:
        """Call somebody by an outbound trunk and bring them into a room."""
        wanted = self._sdk.CreateSIPParticipantRequest(
            sip_trunk_id=trunk_id, sip_call_to=to, room_name=room, participant_identity=identity
        )
        await self._ask(self._api.sip.create_sip_participant(wanted))

    async def ensure_inbound(self, name: str, numbers: Sequence[str]) -> str:
        """Have a trunk of this name that takes calls to these numbers; return its id."""
        found = await self._ask(self._api.sip.list_inbound_trunk(self._sdk.ListSIPInboundTrunkRequest()))
        for trunk in found.items:
            if trunk.name == name and sorted(trunk.numbers) == sorted(numbers):
                return str(trunk.sip_trunk_id)
        trunk = self._sdk.SIPInboundTrunkInfo(name=name, numbers=list(numbers), krisp_enabled=False)
        wanted = self._sdk.CreateSIPInboundTrunkRequest(trunk=trunk)
        made = await self._ask(self._api.sip.create_inbound_trunk(wanted))
        return str(made.sip_trunk_id)

    async def ensure_dispatch(self, name: str, trunk_ids: Sequence[str]) -> str:
        """Have a rule of this name that gives every caller of these trunks a room; return its id."""
        found = await self._ask(self._api.sip.list_dispatch_rule(self._sdk.ListSIPDispatchRuleRequest()))
        for rule in found.items:
            if rule.name == name and sorted(rule.trunk_ids) == sorted(trunk_ids):
                return str(rule.sip_dispatch_rule_id)
        individual = self._sdk.SIPDispatchRuleIndividual(room_prefix=PHONE_ROOMS)
        wanted = self._sdk.CreateSIPDispatchRuleRequest(
            dispatch_rule=self._sdk.SIPDispatchRuleInfo(
                name=name,
                trunk_ids=list(trunk_ids),
                rule=self._sdk.SIPDispatchRule(dispatch_rule_individual=individual),
            )
        )
        made = await self._ask(self._api.sip.create_dispatch_rule(wanted))
        return str(made.sip_dispatch_rule_id)

    async def _ask(self, asking: Any) -> Any:
        import aiohttp

        try:
            return await asking
        except self._sdk.TwirpError as error:
            raise VendorFailed("livekit", str(error.message), status=error.status) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise VendorFailed("livekit", f"{type(error).__name__}: {error}") from error


def _api() -> ModuleType:
    return load("livekit.api", package="livekit-api", transport="livekit")
