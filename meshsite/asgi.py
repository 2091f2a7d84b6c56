"""The ASGI application: HTTP for Django, WebSockets for Channels."""

import os
from typing import cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshsite.settings")

from django.core.asgi import get_asgi_application

django = get_asgi_application()  # sets Django up: consumers may be imported only below

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from meshsite import celery, metrics, tether  # noqa: E402, F401 (hints need the Celery application)
from web.admission import Admission, Application  # noqa: E402

tether.tie_forks()
metrics.serve_web()
application = ProtocolTypeRouter(
    {"http": Admission(cast(Application, django), settings.MESH_WEB_THREADS), "websocket": URLRouter([])}
)
