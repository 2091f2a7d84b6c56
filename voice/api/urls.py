from django.urls import path

from web.sse import wants_events
from web.views import with_coroutine

from .calls import CallEventsView, CallsView, CallView
from .joining import JoinView, OfferView, answer_offer, join_room
from .numbers import NumbersView, NumberView
from .recordings import RecordingView
from .services import RespondView, SynthesizeView, answer_utterance, is_post, speak_text
from .sessions import (
    CleanupView,
    NewSessionView,
    SessionConfigView,
    SessionsView,
    SessionTtlView,
    SessionView,
    ValidateView,
)
from .streaming import stream_call_events

_SESSIONS = "api/voice/sessions"
_CALLS = "api/voice/calls"

urlpatterns = [
    path(f"{_SESSIONS}/with-config", NewSessionView.as_view()),
    path("sessions/with-config", NewSessionView.as_view()),
    path("api/sessions", NewSessionView.as_view()),
    path(f"{_SESSIONS}/validate", ValidateView.as_view()),
    path(f"{_SESSIONS}/cleanup", CleanupView.as_view()),
    path(_SESSIONS, SessionsView.as_view()),
    path(f"{_SESSIONS}/<str:session_id>", SessionView.as_view()),
    path(f"{_SESSIONS}/<str:session_id>/config", SessionConfigView.as_view()),
    path(f"{_SESSIONS}/<str:session_id>/ttl", SessionTtlView.as_view()),
    path(
        f"{_SESSIONS}/<str:session_id>/webrtc",
        with_coroutine(OfferView, when=is_post, step=answer_offer),
    ),
    path(f"{_SESSIONS}/<str:session_id>/join", with_coroutine(JoinView, when=is_post, step=join_room)),
    path(_CALLS, CallsView.as_view()),
    path(f"{_CALLS}/<str:call_id>", CallView.as_view()),
    path(
        f"{_CALLS}/<str:call_id>/events",
        with_coroutine(CallEventsView, when=wants_events, step=stream_call_events),
    ),
    path(f"{_CALLS}/<str:call_id>/recording", RecordingView.as_view()),
    path("v1/respond", with_coroutine(RespondView, when=is_post, step=answer_utterance)),
    path("v1/synthesize", with_coroutine(SynthesizeView, when=is_post, step=speak_text)),
    path("api/voice/numbers", NumbersView.as_view()),
    path("api/voice/numbers/<str:number_id>", NumberView.as_view()),
]
