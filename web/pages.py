"""The documentation that the service carries: the OpenAPI document, its two readers, and the error codes."""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.response import Response

from .problem_codes import CODES

_STYLE = mark_safe(
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}"
    "code{background:#eee;padding:.1em .3em;border-radius:3px}:target{background:#fff3bf}</style>"
)


def problems(request: HttpRequest) -> HttpResponse:
    """Every error code of the API, its status and what to do about it."""
    entries = format_html_join(
        "",
        '<section id="{}"><h2>{} {}</h2><p><code>{}</code></p><p>{}</p></section>',
        ((code, kind.status, kind.title, code, kind.help) for code, kind in sorted(CODES.items())),
    )
    page = format_html(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Errors</title>{}'
        "<h1>Errors of the AI Mesh Network API</h1>{}</html>",
        _STYLE,
        entries,
    )
    return HttpResponse(page)


@cache
def _schema() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


class SchemaView(SpectacularAPIView):
    """The OpenAPI document, made once per process."""

    schema = None
    renderer_classes = [OpenApiJsonRenderer]

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(_schema(), headers={"Content-Disposition": 'inline; filename="mesh.json"'})


class SwaggerView(SpectacularSwaggerView):
    url_name = "schema"


class RedocView(SpectacularRedocView):
    url_name = "schema"
    template_name = "web/redoc.html"
