"""Every address of the service. Each app wires its own API; this file only gathers them."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from web import pages

from . import health, metrics

urlpatterns = [
    path("", RedirectView.as_view(url="/api/docs", permanent=False)),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", metrics.view),
    path("docs/problems", pages.problems),
    path("api/mesh/health", health.HealthView.as_view()),
    path("", include("tasks.api.urls")),
    path("", include("agents.api.urls")),
    path("", include("memory.api.urls")),
    path("", include("workflows.api.urls")),
    path("", include("networks.api.urls")),
    path("", include("voice.api.urls")),
    path("", include("voice.api.twilio_urls")),
    path("", include("voice.api.talk_urls")),
    path("api/schema", pages.SchemaView.as_view(), name="schema"),
    path("api/docs", pages.SwaggerView.as_view()),
    path("api/redoc", pages.RedocView.as_view()),
    path("admin/", admin.site.urls),
]

handler400 = "web.problems.bad_request"
handler403 = "web.problems.permission_denied"
handler404 = "web.problems.page_not_found"
handler500 = "web.problems.server_error"
