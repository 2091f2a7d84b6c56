"""Wiring of the service: settings, URLs, ASGI, Celery, health, the process supervisor."""
