from django.urls import path

from .projects import MembersView, MemberView, ProjectsView, ProjectView
from .views import KeysView, KeyView, RotateKeyView

urlpatterns = [
    path("api/projects", ProjectsView.as_view()),
    path("api/projects/<str:project_id>", ProjectView.as_view()),
    path("api/members", MembersView.as_view()),
    path("api/members/<str:member_id>", MemberView.as_view()),
    path("api/keys", KeysView.as_view()),
    path("api/keys/<str:key_id>", KeyView.as_view()),
    path("api/keys/<str:key_id>/rotate", RotateKeyView.as_view()),
]
