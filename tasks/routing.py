"""The WebSockets of those who watch runs."""

from channels.auth import AuthMiddlewareStack
from django.urls import path

from tasks.consumers import RunConsumer

websocket_urlpatterns = [path("ws/runs/<str:run_id>", AuthMiddlewareStack(RunConsumer.as_asgi()))]
