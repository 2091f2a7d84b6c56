"""The addresses of the page to talk on."""

from django.urls import path

from voice.api import talk

urlpatterns = [path("talk", talk.page), path("talk/session", talk.session)]
