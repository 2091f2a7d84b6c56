"""The ASGI application: HTTP for Django, WebSockets for Channels."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshsite.settings")

import django

django.setup(set_prefix=False)  # views and consumers may be imported only below

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from meshsite import celery, metrics, tether  # noqa: E402, F401 (hints need the Celery application)
from web.threaded import Split, ThreadedHandler, WaitingHandler  # noqa: E402

tether.tie_forks()
metrics.serve_web()
http = Split(WaitingHandler(), ThreadedHandler(settings.MESH_WEB_THREADS))
application = ProtocolTypeRouter({"http": http, "websocket": URLRouter([])})
