"""The page behind a signed link: a person sees what is asked for, and decides by a POST with its CSRF token.

Looking changes nothing: programs that look into letters follow links as well.
"""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from django.views.decorators.http import require_http_methods

from tasks.approving.forms import DecisionForm
from tasks.approving.letters import title_of
from tasks.approving.links import BadLink, Ticket, read_link
from tasks.approving.people import is_approver
from tasks.approving.selectors import approval_with_all
from tasks.approving.services import decide_as_person
from tasks.models import Approval
from web.problems import Problem

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


@never_cache
@csrf_protect
@ensure_csrf_cookie
@require_http_methods(["GET", "HEAD", "POST"])
def approval_page(request: HttpRequest, token: str) -> HttpResponse:
    try:
        ticket = read_link(token)
    except BadLink as error:
        return _page(request, {"message": f"{error} Ask for another one, or decide in the console."}, 404)
    approval = approval_with_all(ticket.approval_id)
    if approval is None:
        return _page(request, {"message": "There is no such decision any more."}, 404)
    if approval.state == Approval.State.PENDING and not is_approver(approval, ticket.email):
        return _page(request, _shown(approval, ticket) | {"message": "Others are asked by now."}, 403)
    if request.method != "POST" or approval.state != Approval.State.PENDING:
        late = request.method == "POST"
        return _page(request, _shown(approval, ticket) | {"late": late}, 409 if late else 200)
    return _decide(request, approval, ticket)


def _decide(request: HttpRequest, approval: Approval, ticket: Ticket) -> HttpResponse:
    decision: Any = request.POST.get("decision", "")
    form = DecisionForm(approval, request.POST)
    if decision not in ("approve", "reject", "edit") or not form.is_valid():
        return _page(request, _shown(approval, ticket, form), 422)
    error, status = "", 200
    try:
        decide_as_person(
            email=ticket.email,
            approval=approval,
            decision=decision,
            output=form.output() if decision == "edit" else None,
            comment=form.cleaned_data["comment"],
        )
    except Problem as problem:
        error, status = problem.detail, problem.status
    after = approval_with_all(approval.pk) or approval
    return _page(request, _shown(after, ticket, form) | {"error": error}, status)


def _shown(approval: Approval, ticket: Ticket, form: DecisionForm | None = None) -> dict[str, Any]:
    return {
        "approval": approval,
        "title": title_of(approval),
        "email": ticket.email,
        "mine": approval.decided_by == ticket.email,
        "data": "" if approval.data is None else _readable(approval.data),
        "output": _readable(approval.output) if approval.edited else "",
        "form": form or DecisionForm(approval),
    }


def _readable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _page(request: HttpRequest, context: dict[str, Any], status: int) -> HttpResponse:
    response = render(request, "tasks/approval.html", context, status=status)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = (
        "same-origin"  # the address is a secret; Django's check needs its origin
    )
    response.headers["X-Robots-Tag"] = "noindex"
    return response
