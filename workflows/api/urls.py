from django.urls import path

from .views import (
    DiffView,
    ExportView,
    ImportView,
    PublishView,
    ValidateView,
    VersionsView,
    VersionView,
    WorkflowsView,
    WorkflowView,
)

urlpatterns = [
    path("api/workflows", WorkflowsView.as_view()),
    path("api/workflows/import", ImportView.as_view()),
    path("api/workflows/<str:workflow_id>", WorkflowView.as_view()),
    path("api/workflows/<str:workflow_id>/validate", ValidateView.as_view()),
    path("api/workflows/<str:workflow_id>/publish", PublishView.as_view()),
    path("api/workflows/<str:workflow_id>/export", ExportView.as_view()),
    path("api/workflows/<str:workflow_id>/versions", VersionsView.as_view()),
    path("api/workflows/<str:workflow_id>/versions/<str:number>", VersionView.as_view()),
    path("api/workflows/<str:workflow_id>/versions/<str:number>/diff/<str:other>", DiffView.as_view()),
]
