from django.urls import path

from .views import AgentsView

# An agent's own address is wired in tasks/api/urls.py, which knows whether the network is at work.
urlpatterns = [path("api/mesh/networks/<str:network_id>/agents", AgentsView.as_view())]
