"""`/talk`: a page with a microphone button. It gets a voice session with an API key, or as a member of staff."""

import json
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from networks.models import Network
from voice import sessions
from voice.config_parsing import ConfigInvalid, parse
from voice.entrances import entrance_of

TTL_SECONDS: Final = 900
_MOST_NETWORKS: Final = 200
# Nothing but our own files: no inline script or style, no other host.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws: wss:; media-src 'self' blob:; worker-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The page. Staff find the networks in it; everybody else brings a key."""
    staff = request.user.is_authenticated and request.user.is_staff
    found = _networks() if staff else []
    get_token(request)  # the page sends it back
    answer = render(request, "voice/talk.html", {"staff": staff, "networks": found})
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Permissions-Policy"] = "microphone=(self)"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


@require_POST
def session(request: HttpRequest) -> HttpResponse:
    """A session for a member of staff who is logged in: {network_id, config?} → {session_id, transport}."""
    if not (request.user.is_authenticated and request.user.is_staff):
        return JsonResponse({"detail": "Log in as staff, or use an API key."}, status=403)
    try:
        body: Any = json.loads(request.body)
        network = Network.objects.select_related("project").get(
            pk=str(body["network_id"]), status=Network.Status.ACTIVE
        )
        config = parse(body.get("config") or {}, provider="web", network_id=network.pk)
    except (ValueError, KeyError, TypeError, AttributeError, Network.DoesNotExist) as error:
        why = str(error) if isinstance(error, ConfigInvalid) else "There is no such active network."
        return JsonResponse({"detail": why}, status=422)
    made = sessions.create_session(
        project=network.project, config=config, provider="web", ttl_seconds=TTL_SECONDS
    )
    return JsonResponse({"session_id": made.pk, "transport": entrance_of(made)}, status=201)


def _networks() -> list[Network]:
    networks = Network.objects.filter(status=Network.Status.ACTIVE).select_related("project")
    return list(networks.order_by("project__name", "name")[:_MOST_NETWORKS])
