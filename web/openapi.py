"""OpenAPI: what drf-spectacular cannot see by itself (errors, Idempotency-Key, strict bodies)."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers

from .idempotency import HEADER
from .problem_codes import CODES
from .serializers import Body, Query

H = TypeVar("H", bound=Callable[..., Any])

_IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    OpenApiParameter.HEADER,
    description="Makes a repetition within 24 hours answer as the first request did, and do nothing.",
)
_BODY_ERRORS = {400, 413, 415, 422}
_ALWAYS = {401, 403, 429, 503}


class FieldErrorDocument(serializers.Serializer[Any]):
    pointer = serializers.CharField(help_text="JSON pointer into the body, or `/query/name`.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemDocument(serializers.Serializer[Any]):
    """RFC 9457."""

    type = serializers.CharField(help_text="The page that explains the code.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.ChoiceField(choices=sorted(CODES))
    request_id = serializers.CharField()
    errors = FieldErrorDocument(many=True)  # type: ignore[assignment]


def document(
    *,
    answer: Any = None,
    status: int | tuple[int, str] = 200,
    body: type[Body] | Any = None,
    query: type[Query] | None = None,
    conflict: bool = False,
    also: Collection[int] = (),
    public: bool = False,
    summary: str = "",
    extra: dict[Any, Any] | None = None,
) -> Callable[[H], H]:
    """Describe one handler; the errors follow from what it takes, but for the statuses in `also`."""

    def decorate(handler: H) -> H:
        idempotent = getattr(handler, "is_idempotent", False)
        errors = set() if public else set(_ALWAYS)
        if body is not None:
            errors |= _BODY_ERRORS
            if any(name.endswith("_id") for name in getattr(body, "_declared_fields", ())):
                errors.add(404)  # what a body names can be another project's
        if query is not None:
            errors |= {400, 422}
        if conflict or idempotent:
            errors |= {409, 422}
        errors |= set(also)
        handler.problem_statuses = errors  # type: ignore[attr-defined]
        parameters: list[Any] = [query] if query else []
        if idempotent:
            parameters.append(_IDEMPOTENCY_KEY)
        return extend_schema(
            request=body,
            responses={status: answer} | (extra or {}),
            parameters=parameters,
            summary=summary or None,
        )(handler)

    return decorate


class MeshSchema(AutoSchema):
    """Adds the problem responses and closes request bodies against unknown members."""

    def get_tags(self) -> list[str]:
        return getattr(self.view, "tags", None) or super().get_tags()

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        handler = getattr(self.view, self.method.lower())
        statuses = set(getattr(handler, "problem_statuses", _ALWAYS))
        if "{" in self.path:
            statuses.add(404)
            statuses.add(400)
        if self.method in ("POST", "PUT", "PATCH", "DELETE"):
            statuses |= {400, 413, 415}  # a body is checked even where none is asked for
        problem = self.resolve_serializer(ProblemDocument, "response").ref
        for status in sorted(statuses):
            operation["responses"].setdefault(
                str(status),
                {
                    "description": "; ".join(kind.title for kind in CODES.values() if kind.status == status),
                    "content": {"application/problem+json": {"schema": problem}},
                },
            )
        return operation

    def _postprocess_serializer_schema(self, schema: Any, serializer: Any, direction: str) -> Any:
        schema = super()._postprocess_serializer_schema(schema, serializer, direction)
        if isinstance(serializer, Body) and direction == "request":
            schema["additionalProperties"] = False
        return schema
