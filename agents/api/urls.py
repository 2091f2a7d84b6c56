from django.urls import path

from .project_agents import ProjectAgentsView, ProjectAgentView
from .tools import ToolsView, ToolView
from .views import AgentsView

# An agent's own address is wired in tasks/api/urls.py, which knows whether the network is at work.
urlpatterns = [
    path("api/mesh/networks/<str:network_id>/agents", AgentsView.as_view()),
    path("api/agents", ProjectAgentsView.as_view()),
    path("api/agents/<str:agent_id>", ProjectAgentView.as_view()),
    path("api/tools", ToolsView.as_view()),
    path("api/tools/<str:tool_id>", ToolView.as_view()),
]
