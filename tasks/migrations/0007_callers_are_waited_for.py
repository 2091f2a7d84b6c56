"""Steps and runs may wait for a caller on the telephone."""

from django.db import migrations, models

_REASONS = [
    ("", "None"),
    ("provider", "Provider"),
    ("rate_limit", "Rate Limit"),
    ("budget", "Budget"),
    ("approval", "Approval"),
    ("retry", "Retry"),
    ("run", "Run"),
    ("caller", "Caller"),
]


class Migration(migrations.Migration):
    dependencies = [("tasks", "0006_approval_mail")]

    operations = [
        migrations.AlterField(
            model_name=model,
            name="wait_reason",
            field=models.CharField(blank=True, choices=_REASONS, default="", max_length=12),
        )
        for model in ("run", "step")
    ]
