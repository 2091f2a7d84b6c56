"""What we tell Twilio to do with a call."""

from typing import Final

from twilio.twiml.voice_response import Dial, VoiceResponse

BUSY: Final = "All our lines are busy right now. Please call again in a few minutes. Goodbye."
UNKNOWN: Final = "This number is not in service here. Please check the number. Goodbye."
UNAVAILABLE: Final = "We cannot take your call at the moment. Please call again later. Goodbye."


def stream(url: str, *, status_callback: str) -> str:
    """Connect the caller to one of our sockets. Nothing follows: when it is closed, the call is over."""
    response = VoiceResponse()
    connect = response.connect()
    connect.stream(url=url, status_callback=status_callback, status_callback_method="POST")
    return str(response)


def say(text: str) -> str:
    """Speak a sentence, then hang up."""
    response = VoiceResponse()
    response.say(text)
    response.hangup()
    return str(response)


def hang_up() -> str:
    response = VoiceResponse()
    response.hangup()
    return str(response)


def sip(uri: str) -> str:
    """Hand the caller to a SIP address."""
    dial = Dial()
    dial.sip(uri)
    response = VoiceResponse()
    response.append(dial)
    return str(response)


def transfer(to: str, *, caller_id: str = "", whisper_url: str = "") -> str:
    """Connect the caller to a person; `whisper_url` is executed on the person's side first."""
    options = {"caller_id": caller_id} if caller_id else {}
    person = {"url": whisper_url, "method": "POST"} if whisper_url else {}
    dial = Dial(**options)
    if to.startswith("sip:"):
        dial.sip(to, **person)
    else:
        dial.number(to, **person)
    response = VoiceResponse()
    response.append(dial)
    return str(response)


def whisper(text: str) -> str:
    """What the person hears before the caller is put through."""
    response = VoiceResponse()
    if text:
        response.say(text)
    return str(response)
