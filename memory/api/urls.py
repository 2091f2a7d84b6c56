from django.urls import path

from .views import MemoriesView, MemoryView

urlpatterns = [
    path("api/mesh/networks/<str:network_id>/memory", MemoriesView.as_view()),
    path("api/mesh/networks/<str:network_id>/memory/<str:memory_id>", MemoryView.as_view()),
]
