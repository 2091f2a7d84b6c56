"""The ASGI application: HTTP for Django, WebSockets for Channels."""

import gc
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshsite.settings")

import django

django.setup(set_prefix=False)  # views and consumers may be imported only below

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from meshsite import celery, metrics, tether  # noqa: E402, F401 (hints need the Celery application)
from tasks.routing import websocket_urlpatterns as watching  # noqa: E402
from voice.inline import StartsVoice, lifespan  # noqa: E402
from voice.routing import websocket_urlpatterns as calls  # noqa: E402
from web.threaded import Split, ThreadedHandler, WaitingHandler  # noqa: E402

tether.tie_forks()
metrics.serve_web()
http = StartsVoice(Split(WaitingHandler(), ThreadedHandler(settings.MESH_WEB_THREADS)))
gc.collect()
gc.freeze()  # what is imported stays; looking at it again and again holds up requests
gc.set_threshold(20_000, 20, 50)
application = ProtocolTypeRouter(
    {"http": http, "websocket": URLRouter([*watching, *calls]), "lifespan": lifespan}
)
