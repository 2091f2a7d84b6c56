"""Leases, and steps whose worker is gone."""

REGISTER_WORKER = """
INSERT INTO tasks_worker (id, slot, host, pid, lease_until, started_at, draining, stale_writes)
VALUES (%(id)s, %(slot)s, %(host)s, %(pid)s, now() + make_interval(secs => %(ttl)s), now(), false, 0)
"""

RENEW_LEASE = """
UPDATE tasks_worker
SET lease_until = now() + make_interval(secs => %(ttl)s), draining = %(draining)s, stale_writes = %(stale)s
WHERE id = %(id)s
"""

# Running steps whose owner's lease is over, or whose owner is an older incarnation of a slot we hold, or
# that are ours by name but not in hand. No lease counts as expired within one TTL of the database's start.
EXPIRED = """
SELECT s.id, s.run_id, s.owner
FROM tasks_step s LEFT JOIN tasks_worker w ON w.id = s.owner
WHERE s.state = 'running' AND (
    (w.id IS NULL AND s.claimed_at < now() - make_interval(secs => %(ttl)s))
    OR (w.lease_until < now() AND w.id <> %(owner)s AND pg_postmaster_start_time() + make_interval(secs => %(ttl)s) < now()
        AND %(settled)s)
    OR (w.slot = %(slot)s AND w.id <> %(owner)s AND %(slot_held)s)
    OR (w.id = %(owner)s AND s.claimed_at < now() - make_interval(secs => %(ttl)s) AND s.id <> ALL(%(held)s))
)
ORDER BY s.run_id, s.id LIMIT 500
"""

GONE_WORKERS = """
DELETE FROM tasks_worker w
WHERE w.id <> %(owner)s AND NOT EXISTS (SELECT 1 FROM tasks_step s WHERE s.owner = w.id AND s.state = 'running')
  AND ((w.lease_until < now() - make_interval(secs => %(ttl)s)) OR (w.slot = %(slot)s AND %(slot_held)s))
"""

RECOVER_STEP = """
WITH step AS (
    UPDATE tasks_step
    SET state = 'ready', owner = '', crashes = crashes + 1, ready_at = statement_timestamp()
    WHERE id = %(step)s AND state = 'running' AND owner = %(owner)s
    RETURNING id, run_id, fence, crashes, claimed_at, key, kind
), run AS (
    UPDATE tasks_run SET event_seq = event_seq + 1, updated_at = statement_timestamp()
    FROM step WHERE tasks_run.id = step.run_id RETURNING event_seq
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT step.run_id, run.event_seq, 'step.retried', step.id,
           jsonb_build_object('reason', 'lease_lost', 'crashes', step.crashes, 'key', step.key, 'kind', step.kind),
           statement_timestamp() FROM step, run
), attempt AS (
    INSERT INTO tasks_attempt (step_id, fence, worker, outcome, detail, started_at, finished_at)
    SELECT id, fence, %(owner)s, 'lease_lost', '', coalesce(claimed_at, statement_timestamp()), statement_timestamp()
    FROM step ON CONFLICT DO NOTHING
)
SELECT kind FROM step
"""
