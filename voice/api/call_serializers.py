"""Bodies, queries and answers of phone calls, and of what answers and speaks without one."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from voice.models import PhoneCall
from voice.outbound import is_dialable
from voice.synthesize import MOST_CHARACTERS
from web.pagination import page_query
from web.serializers import Body, Choice, Query, Text

from .serializers import PROVIDERS

MOST_HISTORY = 200
STATES = PhoneCall.State.choices
DIRECTIONS = PhoneCall.Direction.choices


@extend_schema_field({"type": "string", "maxLength": 200, "example": "+15005550006"})
class Callee(Text):
    """A telephone number in E.164, or a SIP address."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not is_dialable(text):
            raise serializers.ValidationError(
                "Must be an E.164 number such as +15005550006, or a SIP address.", "invalid_number"
            )
        return text


class CallBody(Body):
    to = Callee(max_length=200, help_text="Whom to call: an E.164 number or a SIP address.")
    network_id = Text(
        required=False, max_length=40, help_text="Whose coordinator talks; or give `session_id`."
    )
    session_id = Text(required=False, max_length=40, help_text="A voice session whose config runs the call.")


_Window: Any = type(  # `from` is no name for Python
    "CallWindow",
    (page_query(),),
    {
        "from": serializers.DateTimeField(required=False, help_text="Calls made at this time or later."),
        "to": serializers.DateTimeField(required=False, help_text="Calls made before this time."),
    },
)


class CallQuery(_Window):
    network_id = serializers.CharField(required=False, max_length=40)
    session_id = serializers.CharField(required=False, max_length=40)
    state = serializers.ChoiceField(choices=STATES, required=False)
    direction = serializers.ChoiceField(choices=DIRECTIONS, required=False)


class CallEventQuery(Query):
    after = serializers.CharField(required=False, max_length=60, help_text="An event's `id`, or its `seq`.")
    limit = serializers.IntegerField(default=100, min_value=1, max_value=500)


_Parties: Any = type(
    "CallParties",
    (serializers.Serializer,),
    {
        "from": serializers.CharField(allow_blank=True, help_text="Masked when the config redacts."),
        "to": serializers.CharField(allow_blank=True, help_text="Masked when the config redacts."),
    },
)


class CallAnswer(_Parties):
    id = serializers.CharField()
    call_id = serializers.CharField(help_text="The same as `id`.")
    network_id = serializers.CharField(allow_null=True)
    session_id = serializers.CharField(allow_null=True)
    run_id = serializers.CharField(allow_null=True, help_text="The run of the workflow that leads it.")
    transport = serializers.ChoiceField(choices=PROVIDERS)
    direction = serializers.ChoiceField(choices=DIRECTIONS)
    state = serializers.ChoiceField(choices=STATES)
    external_id = serializers.CharField(allow_blank=True, help_text="The carrier's own id.")
    turn_count = serializers.IntegerField()
    interruptions = serializers.IntegerField()
    false_interruptions = serializers.IntegerField()
    mos = serializers.FloatField(allow_null=True, help_text="Estimated listening quality, 1 to 4.5.")
    cost = serializers.FloatField(help_text="US dollars: models and speech.")
    seconds = serializers.FloatField(allow_null=True, help_text="How long it lasted, when it has ended.")
    end_reason = serializers.CharField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class SpokenTurnAnswer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    caller_text = serializers.CharField(allow_blank=True)
    reply_text = serializers.CharField(allow_blank=True)
    heard_text = serializers.CharField(allow_blank=True, help_text="What the caller heard of the reply.")
    interrupted = serializers.BooleanField()
    speculative = serializers.BooleanField(help_text="The answer was begun before the caller had finished.")
    note = serializers.BooleanField(help_text="Not the caller but a task's result spoke.")
    latencies = serializers.DictField(
        child=serializers.FloatField(), help_text="Milliseconds after the caller's last sound, by stage."
    )
    stt = serializers.CharField(allow_null=True)
    tts = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    cost = serializers.FloatField()
    config_version = serializers.IntegerField()
    error = serializers.CharField(allow_null=True)
    started_at = serializers.DateTimeField()


class LineAnswer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=["caller", "agent", "note"])
    text = serializers.CharField()
    turn = serializers.IntegerField()
    at = serializers.DateTimeField()


class UseAnswer(serializers.Serializer[Any]):
    connector = serializers.CharField()
    kind = serializers.ChoiceField(choices=["stt", "tts"])
    seconds = serializers.FloatField()
    characters = serializers.IntegerField()
    cost = serializers.FloatField()


class CallDetailAnswer(CallAnswer):
    worker = serializers.CharField(allow_null=True, help_text="The voice process that has or had it.")
    request_id = serializers.CharField(allow_null=True)
    config = serializers.DictField(help_text="As it was when the call began.")
    latencies = serializers.DictField(help_text="p50, p95 and p99 in milliseconds, by stage.")
    statistics = serializers.DictField()
    use = UseAnswer(many=True, help_text="Speech services, with their cost.")
    recording = serializers.CharField(allow_null=True)
    event_count = serializers.IntegerField()
    turns = SpokenTurnAnswer(many=True)
    transcript = LineAnswer(many=True, help_text="Of the agent, what the caller really heard.")


class CallEventAnswer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="`call_id:seq`, to resume after.")
    call_id = serializers.CharField()
    seq = serializers.IntegerField(help_text="Numbered from 1 without gaps in a call.")
    type = serializers.CharField()
    payload = serializers.DictField()
    at = serializers.DateTimeField()


# --- without a call -------------------------------------------------------------------------------------


class SaidBody(Body):
    role = Choice(choices=["caller", "agent", "note"])
    text = Text(min_length=1, max_length=20_000)


class RespondBody(Body):
    utterance = Text(min_length=1, max_length=5000, help_text="What the caller has said.")
    history = serializers.ListField(
        child=SaidBody(), required=False, max_length=MOST_HISTORY, help_text="What was said before, in order."
    )
    network_id = Text(required=False, max_length=40, help_text="Who answers; or give `session_id`.")
    session_id = Text(required=False, max_length=40)


class ActionAnswer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="transfer, hang_up or send_digits.")
    arguments = serializers.DictField()


class LatencyAnswer(serializers.Serializer[Any]):
    first_token_ms = serializers.FloatField(allow_null=True)
    total_ms = serializers.FloatField()


class TokensAnswer(serializers.Serializer[Any]):
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()


class RespondAnswer(serializers.Serializer[Any]):
    reply = serializers.CharField(allow_blank=True)
    citations = serializers.ListField(child=serializers.CharField(), help_text="What the reply rests on.")
    actions = ActionAnswer(many=True, help_text="What the agent would do to the line.")
    tools = serializers.ListField(child=serializers.CharField(), help_text="The tools that ran.")
    model = serializers.CharField(allow_blank=True)
    provider = serializers.CharField(allow_blank=True)
    usage = TokensAnswer()
    cost = serializers.FloatField(help_text="US dollars.")
    latency = LatencyAnswer()


class SynthesizeBody(Body):
    text = Text(min_length=1, max_length=MOST_CHARACTERS)
    voice = Text(required=False, max_length=200, help_text="A vendor's name of a voice; default its own.")
    session_id = Text(required=False, max_length=40, help_text="A voice session whose voice speaks.")
    encoding = Choice(
        choices=["base64", "wav"],
        required=False,
        help_text="`wav` answers with the file itself. Default base64.",
    )


class SpeakingLatencyAnswer(serializers.Serializer[Any]):
    first_audio_ms = serializers.FloatField(allow_null=True)
    total_ms = serializers.FloatField()


class SynthesizeAnswer(serializers.Serializer[Any]):
    audio = serializers.CharField(help_text="A WAV file in base64.")
    content_type = serializers.CharField()
    duration_ms = serializers.FloatField()
    connector = serializers.CharField(allow_blank=True, help_text="The service that spoke.")
    cost = serializers.FloatField(help_text="US dollars.")
    latency = SpeakingLatencyAnswer()
