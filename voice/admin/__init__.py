"""Staff pages of voice: numbers and sessions, calls with their turns and events, and the processes that take them."""

from .calls import CallEventAdmin, PhoneCallAdmin, TurnAdmin
from .numbers import PhoneNumberAdmin
from .sessions import VoiceSessionAdmin
from .workers import VoiceWorkerAdmin

__all__ = [
    "CallEventAdmin",
    "PhoneCallAdmin",
    "PhoneNumberAdmin",
    "TurnAdmin",
    "VoiceSessionAdmin",
    "VoiceWorkerAdmin",
]
