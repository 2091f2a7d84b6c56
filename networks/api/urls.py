from django.urls import path

from .views import KeysView, KeyView, RotateKeyView

urlpatterns = [
    path("api/keys", KeysView.as_view()),
    path("api/keys/<str:key_id>", KeyView.as_view()),
    path("api/keys/<str:key_id>/rotate", RotateKeyView.as_view()),
]
