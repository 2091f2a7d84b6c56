from django.apps import AppConfig


class MeshsiteConfig(AppConfig):
    name = "meshsite"
    verbose_name = "Site"

    def ready(self) -> None:
        """Register the system checks, and give Celery's processes our log and their own scrape port."""
        from . import checks, logging, metrics

        checks.register_all()
        logging.adopt_celery()
        metrics.adopt_celery()
