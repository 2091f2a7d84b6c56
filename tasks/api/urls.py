from django.urls import path

from agents.api.views import AgentView
from tasks.services import check_coordinator_may_go
from web.sse import wants_events
from web.views import with_coroutine

from .approval_page import approval_page
from .approvals import (
    ApprovalsView,
    ApprovalView,
    ApproveView,
    CommentView,
    HumanCompleteView,
    ReassignView,
    RejectView,
)
from .networks import NetworksView, NetworkView
from .runs import (
    CancelRunView,
    CompareRunsView,
    RetryRunView,
    RunEventsView,
    RunsView,
    RunView,
    WorkflowRunsView,
)
from .schedules import SchedulesView, ScheduleView
from .streaming import stream_events, stream_run_events
from .tasks import CancelView, EventsView, FeedbackView, ProcessView, RetryView, TasksView, TaskView
from .tool_trials import TryToolView, answer_trial, is_post
from .triggers import HookView, RotateTriggerView, TriggersView, TriggerView
from .waiting import wait_for_run, wait_for_task, wants_to_wait
from .webhooks import (
    DeliveriesView,
    RedeliverView,
    RotateSecretView,
    TestWebhookView,
    WebhooksView,
    WebhookView,
)

_NETWORK = "api/mesh/networks/<str:network_id>"
_TASK = f"{_NETWORK}/tasks/<str:task_id>"
_WORKFLOW = "api/workflows/<str:workflow_id>"
_RUN = "api/runs/<str:run_id>"
_APPROVAL = "api/approvals/<str:approval_id>"

urlpatterns = [
    path("api/mesh/networks", NetworksView.as_view()),
    path(_NETWORK, NetworkView.as_view()),
    path(
        f"{_NETWORK}/agents/<str:agent_id>",
        AgentView.as_view(check_coordinator_may_go=check_coordinator_may_go),
    ),
    path(f"{_NETWORK}/tasks", TasksView.as_view()),
    path(_TASK, with_coroutine(TaskView, when=wants_to_wait, step=wait_for_task)),
    path(f"{_TASK}/process", ProcessView.as_view()),
    path(f"{_TASK}/cancel", CancelView.as_view()),
    path(f"{_TASK}/retry", RetryView.as_view()),
    path(f"{_TASK}/feedback", FeedbackView.as_view()),
    path("api/webhooks", WebhooksView.as_view()),
    path("api/webhooks/<str:webhook_id>", WebhookView.as_view()),
    path("api/webhooks/<str:webhook_id>/rotate-secret", RotateSecretView.as_view()),
    path("api/webhooks/<str:webhook_id>/test", TestWebhookView.as_view()),
    path("api/webhooks/<str:webhook_id>/deliveries", DeliveriesView.as_view()),
    path("api/webhooks/<str:webhook_id>/deliveries/<str:delivery_id>/redeliver", RedeliverView.as_view()),
    path(f"{_TASK}/events", with_coroutine(EventsView, when=wants_events, step=stream_events)),
    path(f"{_WORKFLOW}/runs", WorkflowRunsView.as_view()),
    path("api/runs", RunsView.as_view()),
    path(_RUN, with_coroutine(RunView, when=wants_to_wait, step=wait_for_run)),
    path(f"{_RUN}/events", with_coroutine(RunEventsView, when=wants_events, step=stream_run_events)),
    path(f"{_RUN}/cancel", CancelRunView.as_view()),
    path(f"{_RUN}/retry", RetryRunView.as_view()),
    path(f"{_RUN}/compare/<str:other_run>", CompareRunsView.as_view()),
    path("api/approvals", ApprovalsView.as_view()),
    path(_APPROVAL, ApprovalView.as_view()),
    path(f"{_APPROVAL}/approve", ApproveView.as_view()),
    path(f"{_APPROVAL}/reject", RejectView.as_view()),
    path(f"{_APPROVAL}/reassign", ReassignView.as_view()),
    path(f"{_APPROVAL}/comment", CommentView.as_view()),
    path("api/steps/<str:step_id>/human-complete", HumanCompleteView.as_view()),
    path("approve/<str:token>", approval_page),
    path("api/tools/<str:tool_id>/try", with_coroutine(TryToolView, when=is_post, step=answer_trial)),
    path("api/schedules", SchedulesView.as_view()),
    path("api/schedules/<str:schedule_id>", ScheduleView.as_view()),
    path(f"{_WORKFLOW}/triggers", TriggersView.as_view()),
    path(f"{_WORKFLOW}/triggers/<str:trigger_id>", TriggerView.as_view()),
    path(f"{_WORKFLOW}/triggers/<str:trigger_id>/rotate", RotateTriggerView.as_view()),
    path("api/hooks/<str:token>", HookView.as_view()),
]
