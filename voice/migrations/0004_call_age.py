from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("voice", "0003_webhook_outbox")]

    operations = [
        migrations.AddIndex(
            model_name="phonecall",
            index=models.Index(fields=["created_at"], name="phone_call_age"),
        ),
    ]
