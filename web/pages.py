"""The page that a problem's `type` links to."""

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

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
