"""The admin's first page: is work flowing, what is stuck, what does it cost. Eight bounded statements.

Windows are cut by id, not by time: ids sort by creation, so their index answers without one on the times.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from redis import Redis, RedisError

from agents.models import CatalogueModel
from web.admin_site import COLOURS, ago

from .checks import RETIREMENT_NOTICE
from .metrics import queue

ENDED = ("succeeded", "failed", "cancelled")
_CHART_COLOURS = {
    "succeeded": "#22c55e",
    "failed": "#ef4444",
    "cancelled": "#94a3b8",
    "unfinished": "#3b82f6",
}


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the figures to the index page, for those who may see runs."""
    if request.user.has_perm("tasks.view_run"):
        context["mesh"] = figures()
    return context


def figures() -> dict[str, Any]:
    """Collect everything the page shows."""
    now = timezone.now()
    yesterday = _first_id("run", now - timedelta(hours=24))
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    depth = {(family, state): value or 0.0 for family, state, value in queue.read() or ()}
    hours = _hours(yesterday, now)
    failures = _failures(yesterday)
    spend, calls, tokens, models = _spend(_first_id("mcall", midnight))
    breakers = _breakers()
    asked, late, failing, switched_off = _outside()
    talking, calls_today, first_sound, slow_sound = _voice(_first_id("call", now - timedelta(hours=24)))
    serving = int(depth.get(("worker", "serving"), 0))
    oldest = depth.get(("oldest", ""), 0.0)
    failed = sum(failure["count"] for failure in failures)
    return {
        "tiles": [
            _tile(
                "Ready steps",
                int(depth.get(("step", "ready"), 0)),
                "tasks_step",
                note=f"{depth.get(('step', 'pending'), 0):.0f} more wait for these or for others",
                state__exact="ready",
            ),
            _tile("Oldest ready", _age(oldest), "tasks_step", alarm=oldest > 60, state__exact="ready"),
            _tile(
                "Running steps", int(depth.get(("step", "running"), 0)), "tasks_step", state__exact="running"
            ),
            _tile("Waiting runs", int(depth.get(("run", "waiting"), 0)), "tasks_run", state__exact="waiting"),
            _tile(
                "Pending approvals",
                asked,
                "tasks_approval",
                alarm=late > 0,
                note=f"{late:,} past their deadline" if late else "",
                state__exact="pending",
            ),
            _tile(
                "Failing webhooks",
                failing + switched_off,
                "tasks_webhookendpoint",
                alarm=failing + switched_off > 0,
                note=f"{switched_off:,} switched off" if switched_off else "",
                failing_since__isempty="0",
            ),
            _tile(
                "Workers",
                serving,
                "tasks_worker",
                alarm=not serving,
                note=f"{depth.get(('worker', 'draining'), 0):.0f} more draining",
            ),
            _tile("Failed, 24 h", failed, "tasks_run", alarm=failed > 0, state__exact="failed"),
            _tile(
                "Spent today",
                f"${spend:,.2f}",
                "agents_modelcall",
                note=f"{calls:,} calls · {tokens:,} tokens",
            ),
            _tile(
                "Open breakers",
                "?" if breakers is None else len(breakers),
                "agents_modelcall",
                alarm=bool(breakers),
                note="Redis does not answer" if breakers is None else "",
                state__exact="failed",
            ),
            _tile(
                "Calls now",
                talking,
                "voice_phonecall",
                note=f"{calls_today:,} in 24 h",
                state__exact="active",
            ),
            _tile(
                "First sound p50",
                "–" if first_sound is None else f"{first_sound:.0f} ms",
                "voice_phonecall",
                note="" if slow_sound is None else f"p95 {slow_sound:.0f} ms, of calls' own figures, 24 h",
            ),
        ],
        "chart": json.dumps(_chart(hours)),
        "chart_options": json.dumps(_CHART_OPTIONS),
        "totals": _totals(hours),
        "workers": _workers(),
        "failures": failures,
        "models": models,
        "breakers": breakers or [],
        "retiring": _retiring(),
    }


def _first_id(prefix: str, moment: datetime) -> str:
    """The lowest id of `web.ids` that can have been made at a moment: its first ten digits are milliseconds."""
    milliseconds = int(moment.timestamp() * 1000)
    return f"{prefix}_" + "".join(
        "0123456789abcdefghjkmnpqrstvwxyz"[milliseconds >> shift & 31] for shift in range(45, -1, -5)
    )


def _tile(
    title: str, value: object, target: str, *, alarm: bool = False, note: str = "", **filters: str
) -> dict[str, Any]:
    url = f"{reverse(f'admin:{target}_changelist')}?{urlencode(filters)}"
    return {"title": title, "value": value, "url": url, "alarm": alarm, "note": note}


def _age(seconds: float) -> str:
    return (
        f"{seconds:.1f} s"
        if seconds < 60
        else f"{seconds / 60:.1f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _rows(sql: str, *values: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _hours(first_run: str, now: datetime) -> dict[datetime, dict[str, int]]:
    """Runs by the hour they were made and how they stand, 24 hours with the empty ones."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    hours: dict[datetime, dict[str, int]] = {
        this_hour - timedelta(hours=back): {} for back in range(23, -1, -1)
    }
    for hour, state, count in _rows(
        "select date_trunc('hour', created_at), state, count(*) from tasks_run where id >= %s group by 1, 2",
        first_run,
    ):
        if hour in hours:
            name = state if state in ENDED else "unfinished"
            hours[hour][name] = hours[hour].get(name, 0) + count
    return hours


def _totals(hours: dict[datetime, dict[str, int]]) -> list[dict[str, Any]]:
    totals = {name: sum(hour.get(name, 0) for hour in hours.values()) for name in _CHART_COLOURS}
    return [{"name": name, "count": count, "colour": _CHART_COLOURS[name]} for name, count in totals.items()]


def _chart(hours: dict[datetime, dict[str, int]]) -> dict[str, Any]:
    return {
        "labels": [timezone.localtime(hour).strftime("%H:00") for hour in hours],
        "datasets": [
            {
                "label": name,
                "data": [hour.get(name, 0) for hour in hours.values()],
                "backgroundColor": colour,
                "stack": "runs",
                "borderRadius": 2,
                "maxBarThickness": 24,
            }
            for name, colour in _CHART_COLOURS.items()
        ],
    }


_CHART_OPTIONS = {
    "animation": False,
    "maintainAspectRatio": False,
    "scales": {
        "x": {
            "stacked": True,
            "grid": {"display": False},
            "ticks": {"maxRotation": 0, "autoSkipPadding": 16},
        },
        "y": {"stacked": True, "beginAtZero": True, "ticks": {"precision": 0, "maxTicksLimit": 5}},
    },
    "plugins": {"legend": {"display": False}},
}


def _failures(first_run: str) -> list[dict[str, Any]]:
    rows = _rows(
        "select error_code, count(*) from tasks_run where id >= %s and state = 'failed' group by 1 order by 2 desc limit 8",
        first_run,
    )
    most = max((count for _, count in rows), default=1)
    url = reverse("admin:tasks_run_changelist")
    return [
        {
            "code": code or "unknown",
            "count": count,
            "share": 100 * count / most,
            "url": f"{url}?{urlencode({'state__exact': 'failed', 'error_code__icontains': code})}",
        }
        for code, count in rows
    ]


def _spend(first_call: str) -> tuple[float, int, int, list[dict[str, Any]]]:
    """Today's money, calls and tokens, and the models they went to."""
    rows = _rows(
        """select provider, model, count(*), sum(input_tokens + output_tokens), sum(cost),
                  count(*) filter (where state = 'failed')
           from agents_modelcall where id >= %s group by 1, 2 order by 5 desc, 3 desc""",
        first_call,
    )
    models = [
        {
            "provider": provider,
            "model": model,
            "calls": calls,
            "tokens": tokens,
            "cost": cost,
            "failed": failed,
        }
        for provider, model, calls, tokens, cost, failed in rows
    ]
    total = float(sum(row["cost"] for row in models))
    return total, sum(row["calls"] for row in models), sum(row["tokens"] for row in models), models[:6]


def _voice(first_call: str) -> tuple[int, int, float | None, float | None]:
    """Calls in progress, calls of a day, and how long their callers waited for the first sound of an answer."""
    [row] = _rows(
        """select count(*) filter (where state = 'active'), count(*),
                  percentile_cont(0.5) within group (order by (latencies #>> '{first_frame,p50}')::float),
                  percentile_cont(0.5) within group (order by (latencies #>> '{first_frame,p95}')::float)
           from voice_phonecall where id >= %s""",
        first_call,
    )
    return row


def _outside() -> tuple[int, int, int, int]:
    """Decisions that people owe, of them those that are late; webhooks that fail, and those given up for it."""
    [row] = _rows(
        """select p.count, p.late, w.failing, w.given_up from
               (select count(*), count(*) filter (where deadline_at < now()) as late
                from tasks_approval where state = 'pending') p,
               (select count(*) filter (where active) as failing, count(*) filter (where not active) as given_up
                from tasks_webhookendpoint where failing_since is not null) w"""
    )
    return row


def _workers() -> list[dict[str, Any]]:
    rows = _rows(
        """select w.id, w.slot, w.host, w.draining, w.lease_until, w.lease_until > now(), w.started_at,
                  (select count(*) from tasks_step s where s.owner = w.id and s.state = 'running')
           from tasks_worker w where w.lease_until > now() - interval '1 hour'
           order by w.lease_until > now() desc, w.slot limit 20"""
    )
    return [
        {
            "slot": slot,
            "host": host,
            "url": reverse("admin:tasks_worker_change", args=[pk]),
            "state": (state := ("draining" if draining else "serving") if alive else "lost"),
            "colour": COLOURS[state],
            "lease": ago(lease_until),
            "started": ago(started_at),
            "steps": steps,
        }
        for pk, slot, host, draining, lease_until, alive, started_at, steps in rows
    ]


def _retiring() -> Iterable[CatalogueModel]:
    return CatalogueModel.objects.filter(
        retires_on__isnull=False, retires_on__lte=timezone.localdate() + RETIREMENT_NOTICE
    ).order_by("retires_on")[:8]


def _breakers() -> list[dict[str, str]] | None:
    """The breakers that the workers say are open, or None when Redis is not there to be asked.

    They share them in one hash (agents/resilience/board.py). The page must not hang on a hung Redis.
    """
    if not settings.REDIS_URL:
        return None
    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=0.2,
            socket_timeout=0.2,
            retry=None,
            decode_responses=True,
        ) as redis:
            found: dict[str, str] = redis.hgetall("mesh:resilience:open")
    except (RedisError, OSError):
        return None
    return [
        {"provider": identity.partition("|")[0], "identity": identity, "cause": value.partition(" ")[2]}
        for identity, value in sorted(found.items())
    ]
