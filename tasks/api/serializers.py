"""Bodies and answers of the network and task endpoints."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from agents.api.serializers import AgentAnswer, AgentBody
from memory.api.serializers import MemoryAnswer
from memory.models import MemoryType
from networks.models import Network
from tasks.selectors import STATUS_FILTERS
from web.pagination import page_query
from web.problems import NotAvailable
from web.serializers import Body, Boolean, Choice, Integer, JsonObject, Moment, Number, Query, Text

TASK_STATUSES = ["pending", "in_progress", "waiting_approval", "completed", "failed", "cancelled"]
STEP_STATUSES = [*TASK_STATUSES, "skipped"]


# --- networks ----------------------------------------------------------------------------------------


class _NetworkFields(Body):
    name = Text(min_length=3, max_length=100)
    description = Text(required=False, allow_blank=True, max_length=1000)
    shared_context = JsonObject(required=False)
    max_iterations = Integer(required=False, min_value=1, max_value=100, help_text="Default 10.")
    timeout_seconds = Integer(required=False, min_value=1, max_value=86_400, help_text="Default 300.")
    budget = Number(
        required=False,
        allow_null=True,
        min_value=0.0001,
        max_value=10_000_000,
        help_text="US dollars that one run may spend; at the cap the run waits until it is raised.",
    )
    chain = serializers.ListField(
        child=Text(min_length=1, max_length=100),
        required=False,
        max_length=20,
        help_text="Models in the order they are tried; empty: the project's chain.",
    )

    def validate_budget(self, value: float | None) -> Decimal | None:
        return None if value is None else Decimal(str(value)).quantize(Decimal("0.0001"))


class NetworkBody(_NetworkFields):
    agents = serializers.ListField(
        child=AgentBody(),
        required=False,
        max_length=50,
        help_text='Each bare or as `{"agent_config": {…}}`. Without any: the five default agents.',
    )


class NetworkChangesBody(_NetworkFields):
    status = Choice(choices=Network.Status.choices, required=False)


class NetworkAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    network_id = serializers.CharField(help_text="The same as `id`.")
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(choices=Network.Status.choices)
    agent_count = serializers.IntegerField()
    task_count = serializers.IntegerField()
    memory_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


NetworkQuery = page_query()


# --- tasks -------------------------------------------------------------------------------------------


class TaskBody(Body):
    task = Text(min_length=5, max_length=5000, help_text="What is to be done.")
    context = JsonObject(required=False)  # type: ignore[assignment]
    priority = Integer(required=False, min_value=1, max_value=10, help_text="10 is most urgent. Default 1.")
    deadline = Moment(required=False, allow_null=True)
    process = Boolean(required=False, help_text="Start it at once. Default false.")
    output_schema = JsonObject(
        required=False, allow_null=True, help_text="JSON Schema (2020-12) that the result must satisfy."
    )
    webhook_url = Text(required=False, allow_null=True, max_length=2000, help_text="Not available yet: 422.")

    def validate_webhook_url(self, value: str | None) -> None:
        if value is not None:
            raise NotAvailable("/webhook_url", "Webhooks are not available yet; poll, wait or stream events.")


class ProcessBody(Body):
    retry = Boolean(required=False, help_text="Run a task that has ended again.")


class CancelBody(Body):
    reason = Text(required=False, allow_blank=True, max_length=500)


class RetryInputBody(Body):
    description = Text(required=False, min_length=5, max_length=5000)
    context = JsonObject(required=False)  # type: ignore[assignment]


class RetryBody(Body):
    from_step = Text(
        required=False, allow_null=True, max_length=40, help_text="A step's id; what came before it is kept."
    )
    input = RetryInputBody(required=False, allow_null=True)


class FeedbackBody(Body):
    rating = Integer(min_value=1, max_value=5)
    comment = Text(required=False, allow_blank=True, max_length=5000)


class TaskQuery(page_query(default=10)):  # type: ignore[misc]
    status = serializers.ChoiceField(choices=STATUS_FILTERS, required=False)


class TaskDetailQuery(Query):
    wait = serializers.FloatField(
        required=False, min_value=0, max_value=60, help_text="Seconds to wait for the task to end."
    )


class EventQuery(Query):
    after = serializers.CharField(
        required=False, max_length=60, help_text="An event's `id`, or its `seq` in the latest run."
    )
    limit = serializers.IntegerField(default=100, min_value=1, max_value=500)


class NewTaskAnswer(serializers.Serializer[Any]):
    task_id = serializers.CharField()
    id = serializers.CharField(help_text="The same as `task_id`.")
    network_id = serializers.CharField()
    status = serializers.ChoiceField(choices=TASK_STATUSES)
    run_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class StartedAnswer(serializers.Serializer[Any]):
    status = serializers.CharField()
    task_id = serializers.CharField()
    network_id = serializers.CharField()
    run_id = serializers.CharField()


class TaskAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    task_id = serializers.CharField(help_text="The same as `id`.")
    network_id = serializers.CharField()
    description = serializers.CharField()
    priority = serializers.IntegerField()
    deadline = serializers.DateTimeField(allow_null=True)
    status = serializers.ChoiceField(choices=TASK_STATUSES)
    wait_reason = serializers.CharField(allow_null=True, help_text="What an unfinished task waits for.")
    iterations = serializers.IntegerField()
    run_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class ResultAnswer(serializers.Serializer[Any]):
    content = serializers.JSONField(help_text="Text, or what `output_schema` asks for.")
    confidence = serializers.FloatField(allow_null=True)
    explanation = serializers.CharField(allow_blank=True)


class ErrorAnswer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)


class SubtaskAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    key = serializers.CharField()
    agent_id = serializers.CharField(allow_null=True)
    agent_name = serializers.CharField(allow_null=True, help_text="Null when the agent was removed.")
    description = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(choices=STEP_STATUSES)
    result = serializers.JSONField(allow_null=True)
    confidence = serializers.FloatField(allow_null=True)
    required = serializers.BooleanField()  # type: ignore[assignment]
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error = ErrorAnswer(allow_null=True)


class HistoryAnswer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    type = serializers.CharField()
    summary = serializers.CharField()
    step_id = serializers.CharField(allow_null=True)
    agent_id = serializers.CharField(allow_null=True)


class UsageAnswer(serializers.Serializer[Any]):
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    model_calls = serializers.IntegerField()


class TaskDetailAnswer(TaskAnswer):
    context = serializers.DictField()  # type: ignore[assignment]
    output_schema = serializers.DictField(allow_null=True)
    request_id = serializers.CharField(allow_blank=True)
    max_iterations = serializers.IntegerField()
    result = ResultAnswer(allow_null=True)
    error = ErrorAnswer(allow_null=True)
    subtasks = SubtaskAnswer(many=True)
    history = HistoryAnswer(many=True)
    usage = UsageAnswer()
    cost = serializers.FloatField(help_text="US dollars.")
    models_used = serializers.ListField(child=serializers.CharField())


class EventAnswer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="`run_id:seq`, to resume after.")
    run_id = serializers.CharField()
    seq = serializers.IntegerField(help_text="Numbered from 1 without gaps in a run.")
    type = serializers.CharField()
    step_id = serializers.CharField(allow_null=True)
    payload = serializers.DictField()
    at = serializers.DateTimeField()


class FeedbackAnswer(serializers.Serializer[Any]):
    memory_id = serializers.CharField(help_text="The feedback memory that was made of it.")
    id = serializers.CharField()
    task_id = serializers.CharField()
    network_id = serializers.CharField()
    type = serializers.ChoiceField(choices=MemoryType.choices)
    rating = serializers.IntegerField()
    comment = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class NetworkDetailAnswer(NetworkAnswer):
    shared_context = serializers.DictField()
    max_iterations = serializers.IntegerField()
    timeout_seconds = serializers.IntegerField()
    budget = serializers.FloatField(allow_null=True)
    chain = serializers.ListField(child=serializers.CharField())
    agents = AgentAnswer(many=True)
    tasks = TaskAnswer(many=True, help_text="The ten latest.")
    memories = MemoryAnswer(many=True, help_text="The ten latest.")
