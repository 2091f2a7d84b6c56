"""The addresses that telephone companies are given: Twilio, and LiveKit for its telephone callers."""

from django.urls import path

from voice.api import twilio
from voice.api.livekit import livekit_event

urlpatterns = [
    path("livekit/webhook", livekit_event),
    path("twilio", twilio.incoming),
    path("twilio/voice", twilio.incoming),
    path("twilio/voice/<str:session_id>", twilio.incoming_session),
    path("twilio/answered/<str:call_id>", twilio.answered),
    path("twilio/status", twilio.call_status),
    path("twilio/status/<str:call_id>", twilio.call_status),
    path("twilio/stream-status", twilio.stream_status),
    path("twilio/whisper/<str:call_id>", twilio.whisper),
]
