"""Letters that ask for decisions: put down in the transaction that asks, whoever writes it."""

import django.db.models.deletion
from django.db import migrations, models

import web.fields

# The approvers are members by address or by role. Asked anew, everybody is told again; of others who are named
# meanwhile only those who were not told yet.
_CREATE = """
CREATE FUNCTION mesh_approval_mail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'pending' THEN
        RETURN NULL;
    END IF;
    INSERT INTO tasks_approvalmail (id, approval_id, email, state, attempts, next_at, error, created_at)
    SELECT 'mail_' || lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
               || left(replace(gen_random_uuid()::text, '-', ''), 14),
           NEW.id, m.email, 'pending', 0, now(), '', now()
    FROM networks_member m
    WHERE m.project_id = NEW.project_id
      AND (m.role = ANY(NEW.approvers) OR EXISTS (SELECT 1 FROM unnest(NEW.approvers) a WHERE lower(a) = m.email))
    ON CONFLICT (approval_id, email) DO UPDATE
    SET state = 'pending', attempts = 0, next_at = now(), claimed_until = NULL, error = ''
    WHERE TG_OP = 'UPDATE' AND OLD.state <> 'pending';
    RETURN NULL;
END $$;

CREATE TRIGGER approval_mail AFTER INSERT OR UPDATE OF state, approvers ON tasks_approval
    FOR EACH ROW EXECUTE FUNCTION mesh_approval_mail();
"""
_DROP = """
DROP TRIGGER IF EXISTS approval_mail ON tasks_approval;
DROP FUNCTION IF EXISTS mesh_approval_mail();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tasks", "0005_step_writes"),
    ]

    operations = [
        migrations.CreateModel(
            name="ApprovalMail",
            fields=[
                (
                    "id",
                    models.CharField(
                        db_collation="C",
                        default=web.fields.IdFactory("mail"),
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("email", models.EmailField(max_length=254)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("sent", "Sent"),
                            ("failed", "Failed"),
                            ("needless", "Needless"),
                        ],
                        default="pending",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_at", models.DateTimeField(blank=True, null=True)),
                ("claimed_until", models.DateTimeField(blank=True, null=True)),
                ("error", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                (
                    "approval",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="mails", to="tasks.approval"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "pending")), fields=["next_at"], name="mail_due"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("approval", "email"), name="mail_approval_email")
                ],
            },
        ),
        migrations.RunSQL(_CREATE, _DROP),
    ]
