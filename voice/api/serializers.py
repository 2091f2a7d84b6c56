"""Bodies, queries and answers of sessions and telephone numbers.

A session's config is read by `voice.config_parsing`, which names everything that is wrong with it at once; the
fields here describe it, from the same rules.
"""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from voice import config_schema as schema
from voice.config_reading import is_phone_number
from voice.sessions import DEFAULT_TTL, MAX_TTL
from voice.transports.registry import TRANSPORTS
from web.pagination import page_query
from web.serializers import Body, Boolean, Integer, JsonObject, Text

PROVIDERS = list(TRANSPORTS)
E164 = {"type": "string", "pattern": r"^\+[1-9][0-9]{5,14}$", "example": "+15005550006"}


class _Described(JsonObject):
    """A part of the config; which one is said by `extend_schema_field`."""


@extend_schema_field(schema.SYSTEM_PROMPT)
class SystemPrompt(Text): ...


@extend_schema_field(schema.PIPELINE)
class Pipeline(_Described): ...


@extend_schema_field(schema.CONNECTORS)
class Connectors(_Described): ...


@extend_schema_field(schema.TURN_SETTINGS)
class TurnTaking(_Described): ...


@extend_schema_field(schema.DIALOG_SETTINGS)
class Dialog(_Described): ...


@extend_schema_field(schema.LANGUAGE_TAG)
class Language(Text): ...


@extend_schema_field(schema.CONFIG)
class Config(_Described): ...


@extend_schema_field(E164)
class PhoneNumberText(Text):
    """A telephone number in E.164."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not is_phone_number(text):
            raise serializers.ValidationError(
                "Must be an E.164 number such as +15005550006.", "invalid_number"
            )
        return text


class ConfigBody(Body):
    """How a call is run. What is left out takes its default."""

    system_prompt = SystemPrompt(
        required=False, help_text="Comes before the agent's own; alone where a model answers."
    )
    pipeline = Pipeline(required=False)
    connectors = Connectors(required=False)
    turn = TurnTaking(required=False)
    language = Language(required=False, help_text="Default `en-US`.")
    network_id = Text(
        required=False,
        min_length=1,
        max_length=40,
        help_text="Whose agent answers; default: the first one that is active, where `llm` names `network`.",
    )
    dialog = Dialog(required=False)


class SessionBody(ConfigBody):
    ttl_seconds = Integer(required=False, min_value=1, max_value=MAX_TTL, help_text=f"Default {DEFAULT_TTL}.")
    provider = serializers.ChoiceField(
        choices=PROVIDERS, required=False, help_text="The transport, where `connectors` names none."
    )


class TtlBody(Body):
    ttl_seconds = Integer(min_value=1, max_value=MAX_TTL, help_text="The life that is left from now on.")


class CleanupBody(Body):
    """Nothing to say."""


class SessionQuery(page_query()):  # type: ignore[misc]
    network_id = serializers.CharField(required=False, max_length=40)
    provider = serializers.ChoiceField(choices=PROVIDERS, required=False)


class TransportAnswer(serializers.Serializer[Any]):
    """How a caller gets in; which members there are depends on `type`."""

    type = serializers.ChoiceField(choices=PROVIDERS)
    twiml_url = serializers.CharField(required=False, help_text="twilio: the webhook of a number or call.")
    ws_url = serializers.CharField(required=False, help_text="web: the address of the socket.")
    audio = serializers.DictField(required=False, help_text="web: the formats that the socket takes.")
    offer_url = serializers.CharField(required=False, help_text="webrtc: takes an SDP offer, without a key.")
    room_url = serializers.CharField(required=False, help_text="livekit, daily: the room.")
    room = serializers.CharField(required=False, help_text="livekit, daily: the room's name.")
    token = serializers.CharField(required=False, help_text="What opens it; it ends with the session.")


class OfferBody(Body):
    """A browser's offer, with all its ICE candidates: none are taken later."""

    sdp = Text(min_length=1, max_length=65_536)
    type = Text(min_length=1, max_length=10, help_text="`offer`")


class OfferAnswer(serializers.Serializer[Any]):
    sdp = serializers.CharField()
    type = serializers.CharField(help_text="`answer`")
    call_id = serializers.CharField()


class JoinBody(Body):
    """Nothing is to be said: the session says it all."""


class JoinAnswer(serializers.Serializer[Any]):
    room = serializers.CharField()
    call_id = serializers.CharField()


class ParticipantAnswer(serializers.Serializer[Any]):
    call_id = serializers.CharField()
    kind = serializers.ChoiceField(choices=["caller"])
    name = serializers.CharField(allow_blank=True, help_text="The caller's number, where there is one.")
    transport = serializers.CharField()
    state = serializers.CharField()
    joined_at = serializers.DateTimeField(allow_null=True)


class SessionAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    session_id = serializers.CharField(help_text="The same as `id`.")
    network_id = serializers.CharField(allow_null=True)
    provider = serializers.ChoiceField(choices=PROVIDERS)
    version = serializers.IntegerField(help_text="Of the config; an update adds one.")
    ttl_seconds = serializers.IntegerField(help_text="What is left of its life.")
    expires_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class NewSessionAnswer(SessionAnswer):
    transport = TransportAnswer()


class SessionDetailAnswer(SessionAnswer):
    config = Config()
    participants = ParticipantAnswer(many=True, help_text="Who is in it now.")


class ConfigAnswer(serializers.Serializer[Any]):
    session_id = serializers.CharField()
    version = serializers.IntegerField()
    config = Config(help_text="With the defaults spelled out.")


class ValidAnswer(serializers.Serializer[Any]):
    valid = serializers.BooleanField(help_text="Always true: what is wrong answers 422.")
    provider = serializers.ChoiceField(choices=PROVIDERS)
    ttl_seconds = serializers.IntegerField()
    config = Config(help_text="With the defaults spelled out.")


class TtlAnswer(serializers.Serializer[Any]):
    session_id = serializers.CharField()
    ttl_seconds = serializers.IntegerField()
    expires_at = serializers.DateTimeField()


class NewTtlAnswer(TtlAnswer):
    transport = serializers.DictField(
        help_text="As in the answer to a new session; what it holds lives as long."
    )


class CleanupAnswer(serializers.Serializer[Any]):
    removed = serializers.IntegerField()


# --- telephone numbers -------------------------------------------------------------------------------


class _NumberFields(Body):
    number = PhoneNumberText()
    network_id = Text(required=False, allow_null=True, max_length=40, help_text="Who answers its callers.")
    label = Text(required=False, allow_blank=True, max_length=100)  # type: ignore[assignment]
    config = Config(required=False, help_text="Default: the defaults with this network.")
    sip_uri = Text(
        required=False,
        allow_blank=True,
        max_length=200,
        help_text="Callers are handed to this SIP address instead (`sip:…`).",
    )
    active = Boolean(required=False, help_text="Default true.")

    def validate_sip_uri(self, value: str) -> str:
        if value and not value.startswith(("sip:", "sips:")):
            raise serializers.ValidationError("Must begin with `sip:` or `sips:`.", "invalid_sip_uri")
        return value


class NumberBody(_NumberFields): ...


class NumberAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    number_id = serializers.CharField(help_text="The same as `id`.")
    number = serializers.CharField()
    network_id = serializers.CharField(allow_null=True)
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    config = Config()
    sip_uri = serializers.CharField(allow_blank=True)
    active = serializers.BooleanField()
    webhook_url = serializers.CharField(help_text="What the carrier is to ask when somebody calls.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class NumberQuery(page_query()):  # type: ignore[misc]
    network_id = serializers.CharField(required=False, max_length=40)
