from django.apps import AppConfig


class MeshsiteConfig(AppConfig):
    name = "meshsite"
    verbose_name = "Site"
