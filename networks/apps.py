from django.apps import AppConfig


class NetworksConfig(AppConfig):
    name = "networks"
    verbose_name = "Projects and networks"

    def ready(self) -> None:
        from . import openapi  # noqa: F401  (registers itself)
