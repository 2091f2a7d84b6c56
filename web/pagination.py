"""Pages of lists: `limit` and `offset`, or a keyset `cursor` that stays right while rows are added.

The list itself is a bare array; `Link: rel="next"` and `X-Total-Count` say what else there is.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from rest_framework import serializers
from rest_framework.response import Response

from .problems import Invalid
from .serializers import Query

M = TypeVar("M", bound=Model)

EXACT_UP_TO = 10_000
MAX_OFFSET = 100_000


def page_query(default: int = 20, maximum: int = 100) -> type[Query]:
    """A query serializer with the three paging parameters; lists add their filters by inheriting."""

    class PageQuery(Query):
        limit = serializers.IntegerField(default=default, min_value=1, max_value=maximum)
        offset = serializers.IntegerField(
            default=0, min_value=0, max_value=MAX_OFFSET, help_text="Beyond 100,000 use the cursor."
        )
        cursor = serializers.CharField(
            required=False, max_length=200, help_text="From the `Link` header; it replaces `offset`."
        )

    return PageQuery


def paginate(
    queryset: "QuerySet[M]",
    *,
    request: HttpRequest,
    params: Mapping[str, Any],
    shape: Callable[[list[M]], list[Any]],
) -> Response:
    """Answer with one page of `queryset`, which must be ordered by `id` or `-id` alone."""
    total = count(queryset)
    newest_first = list(queryset.query.order_by or queryset.model._meta.ordering or ()) == ["-id"]
    limit, offset = params["limit"], params["offset"]
    if "cursor" in params:
        last = read_cursor(params["cursor"])
        queryset = queryset.filter(**{"id__lt" if newest_first else "id__gt": last})
        offset = 0
    rows = list(queryset[offset : offset + limit + 1])
    more, rows = len(rows) > limit, rows[:limit]
    links = {"cursor": write_cursor(rows[-1].pk), "limit": str(limit)} if more else None
    return Response(shape(rows), headers=headers(request, total, links))


def headers(request: HttpRequest, total: int, next_params: Mapping[str, str] | None) -> dict[str, str]:
    """X-Total-Count, and the link to the next page when there is one."""
    result = {"X-Total-Count": str(total)}
    if next_params is not None:
        params = request.GET.copy()
        for name in ("offset", "cursor", "limit"):
            params.pop(name, None)
        params.update(next_params)
        result["Link"] = f'<{request.build_absolute_uri(request.path)}?{params.urlencode()}>; rel="next"'
    return result


def count(queryset: "QuerySet[Any]") -> int:
    """How many rows there are: exactly up to 10,000, beyond that as the planner estimates."""
    ordered = queryset.order_by()
    exact = ordered.values("pk")[: EXACT_UP_TO + 1].count()
    if exact <= EXACT_UP_TO:
        return exact
    plan = json.loads(ordered.values("pk").explain(format="json"))
    return max(int(plan[0]["Plan"]["Plan Rows"]), EXACT_UP_TO)


def write_cursor(last: str) -> str:
    """An opaque mark after the row with this id."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """The id a cursor stands after."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        last = raw.decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise Invalid("/query/cursor", "Not a cursor of ours.") from error
    if not last.isprintable():
        raise Invalid("/query/cursor", "Not a cursor of ours.")
    return last
