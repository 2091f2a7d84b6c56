from django.urls import path

from agents.api.views import AgentView
from tasks.services import check_coordinator_may_go
from web.sse import wants_events
from web.views import with_coroutine

from .networks import NetworksView, NetworkView
from .streaming import stream_events
from .tasks import CancelView, EventsView, FeedbackView, ProcessView, RetryView, TasksView, TaskView
from .waiting import wait_for_task, wants_to_wait

_NETWORK = "api/mesh/networks/<str:network_id>"
_TASK = f"{_NETWORK}/tasks/<str:task_id>"

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
    path(f"{_TASK}/events", with_coroutine(EventsView, when=wants_events, step=stream_events)),
]
