"""Call events go into the outbox of webhooks as run events do (tasks/migrations/0004_webhook_outbox)."""

from django.db import migrations

_CREATE = """
CREATE FUNCTION mesh_call_events_to_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM tasks_webhookendpoint WHERE active) THEN
        RETURN NULL;
    END IF;
    INSERT INTO tasks_webhookdelivery
        (id, endpoint_id, event_type, event_id, payload, state, attempts, next_at, error, response, created_at)
    SELECT mesh_delivery_id(), w.id, e.type, e.call_id || ':' || e.seq,
           jsonb_build_object('type', e.type, 'timestamp', to_char(e.at AT TIME ZONE 'UTC',
                                                                   'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'data', jsonb_build_object('id', e.call_id || ':' || e.seq, 'seq', e.seq, 'project_id', c.project_id,
                   'call_id', e.call_id, 'network_id', c.network_id, 'session_id', c.session_id,
                   'payload', e.payload)),
           'pending', 0, now(), '', '', now()
    FROM new_events e
    JOIN voice_phonecall c ON c.id = e.call_id
    JOIN tasks_webhookendpoint w ON w.project_id = c.project_id AND w.active AND mesh_wants(w.events, e.type)
    ON CONFLICT (endpoint_id, event_id) DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER call_events_to_outbox AFTER INSERT ON voice_callevent
    REFERENCING NEW TABLE AS new_events FOR EACH STATEMENT EXECUTE FUNCTION mesh_call_events_to_outbox();
"""
_DROP = """
DROP TRIGGER IF EXISTS call_events_to_outbox ON voice_callevent;
DROP FUNCTION IF EXISTS mesh_call_events_to_outbox();
"""


class Migration(migrations.Migration):
    dependencies = [("voice", "0002_stream_tokens"), ("tasks", "0004_webhook_outbox")]
    operations = [migrations.RunSQL(_CREATE, _DROP)]
