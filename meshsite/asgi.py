"""The ASGI application: HTTP for Django, WebSockets for Channels."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshsite.settings")

from django.core.asgi import get_asgi_application

waiting = get_asgi_application()  # sets Django up: consumers may be imported only below

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from meshsite import celery, metrics, tether  # noqa: E402, F401 (hints need the Celery application)
from web.threaded import Split, ThreadedHandler  # noqa: E402

tether.tie_forks()
metrics.serve_web()
http = Split(waiting, ThreadedHandler(settings.MESH_WEB_THREADS))
application = ProtocolTypeRouter({"http": http, "websocket": URLRouter([])})
