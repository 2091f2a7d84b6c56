"""The WebSockets of callers."""

from django.urls import path, re_path

from voice.consumers import BrowserConsumer, TwilioConsumer, refuse

websocket_urlpatterns = [
    path("ws/voice/twilio/<str:worker>/<str:token>", TwilioConsumer.as_asgi()),
    path("ws/voice/web/<str:token>", BrowserConsumer.as_asgi()),
    re_path("", refuse),  # type: ignore[arg-type]
]
