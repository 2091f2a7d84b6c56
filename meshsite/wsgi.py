"""The WSGI application, for servers that run the REST API and the admin in threads."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshsite.settings")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from meshsite import celery  # noqa: E402, F401 (hints need the Celery application)
