"""The outbox: events put their deliveries down in the transaction that writes them, whoever writes them."""

from django.db import migrations

# A statement's events against the endpoints of their project. Without endpoints it is one look at an empty index.
# Ids sort by time as all of ours do: 12 hexadecimal digits of milliseconds, then chance.
_CREATE = """
CREATE FUNCTION mesh_delivery_id() RETURNS varchar LANGUAGE sql VOLATILE AS $$
    SELECT 'delivery_' || lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
        || left(replace(gen_random_uuid()::text, '-', ''), 14)
$$;

CREATE FUNCTION mesh_wants(events varchar[], event_type varchar) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT cardinality(events) = 0 OR event_type = ANY(events)
        OR split_part(event_type, '.', 1) || '.*' = ANY(events)
$$;

CREATE FUNCTION mesh_run_events_to_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM tasks_webhookendpoint WHERE active) THEN
        RETURN NULL;
    END IF;
    INSERT INTO tasks_webhookdelivery
        (id, endpoint_id, event_type, event_id, payload, state, attempts, next_at, error, response, created_at)
    SELECT mesh_delivery_id(), w.id, e.type, e.run_id || ':' || e.seq,
           jsonb_build_object('type', e.type, 'timestamp', to_char(e.at AT TIME ZONE 'UTC',
                                                                   'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'data', jsonb_build_object('id', e.run_id || ':' || e.seq, 'seq', e.seq, 'project_id', r.project_id,
                   'run_id', e.run_id, 'task_id', r.task_id, 'network_id', r.network_id,
                   'workflow_id', r.workflow_id, 'step_id', e.step_id, 'payload', e.payload)),
           'pending', 0, now(), '', '', now()
    FROM new_events e
    JOIN tasks_run r ON r.id = e.run_id
    JOIN tasks_webhookendpoint w ON w.project_id = r.project_id AND w.active AND mesh_wants(w.events, e.type)
    ON CONFLICT (endpoint_id, event_id) DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER run_events_to_outbox AFTER INSERT ON tasks_event
    REFERENCING NEW TABLE AS new_events FOR EACH STATEMENT EXECUTE FUNCTION mesh_run_events_to_outbox();
"""
_DROP = """
DROP TRIGGER IF EXISTS run_events_to_outbox ON tasks_event;
DROP FUNCTION IF EXISTS mesh_run_events_to_outbox();
DROP FUNCTION IF EXISTS mesh_wants(varchar[], varchar);
DROP FUNCTION IF EXISTS mesh_delivery_id();
"""


class Migration(migrations.Migration):
    dependencies = [("tasks", "0003_workflows")]
    operations = [migrations.RunSQL(_CREATE, _DROP)]
