"""The run of the workflow that leads a call."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("voice", "0004_call_age")]

    operations = [
        migrations.AddField(
            model_name="phonecall",
            name="run_id",
            field=models.CharField(
                blank=True,
                db_collation="C",
                default="",
                help_text="The run of the workflow that leads it.",
                max_length=40,
            ),
        ),
        migrations.AddIndex(
            model_name="phonecall",
            index=models.Index(
                condition=models.Q(("run_id", ""), _negated=True), fields=["run_id"], name="phone_call_run"
            ),
        ),
    ]
