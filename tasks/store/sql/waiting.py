"""Steps that go back to wait, and what time brings."""

OTHER_STEPS = """
SELECT count(*) FILTER (WHERE state IN ('ready', 'running')) AS active,
       coalesce(array_agg(DISTINCT wait_reason) FILTER (WHERE state IN ('waiting', 'waiting_human')), '{}') AS reasons
FROM tasks_step WHERE run_id = %(run)s AND id <> %(step)s
"""

# Back to wait, or to the queue: no crash, and a try only where one has failed.
RELEASE_STEP = """
WITH step AS (
    UPDATE tasks_step
    SET state = %(state)s::text, owner = '', releases = releases + 1, tries = tries + %(tries)s,
        wait_reason = %(reason)s,
        deadline_at = CASE WHEN %(deadline_seconds)s::float IS NULL THEN deadline_at
            ELSE statement_timestamp() + make_interval(secs => %(seconds)s + %(deadline_seconds)s::float) END,
        run_after = CASE WHEN %(state)s = 'waiting' THEN statement_timestamp() + make_interval(secs => %(seconds)s) END,
        ready_at = CASE WHEN %(state)s = 'ready' THEN statement_timestamp() ELSE ready_at END
    WHERE id = %(step)s AND fence = %(fence)s AND state = 'running'
    RETURNING id, claimed_at
), attempt AS (
    INSERT INTO tasks_attempt (step_id, fence, worker, outcome, detail, started_at, finished_at)
    SELECT id, %(fence)s, %(worker)s, %(outcome)s, %(detail)s, claimed_at, statement_timestamp()
    FROM step ON CONFLICT DO NOTHING
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT %(run)s, (e->>'seq')::int, e->>'type', e->>'step_id', e->'payload', statement_timestamp()
    FROM step, jsonb_array_elements(%(event_rows)s) AS e
), run AS (
    UPDATE tasks_run r
    SET event_seq = %(event_seq)s, state = %(run_state)s, wait_reason = %(wait_reason)s, updated_at = statement_timestamp(),
        clock_stopped_at = CASE WHEN %(stop_clock)s THEN coalesce(r.clock_stopped_at, statement_timestamp())
                                ELSE r.clock_stopped_at END
    FROM step WHERE r.id = %(run)s
)
SELECT count(*) FROM step
"""

WAKE_DUE = """
UPDATE tasks_step s
SET state = 'ready', ready_at = now(), run_after = NULL
WHERE s.id IN (
    SELECT id FROM tasks_step WHERE state = 'waiting' AND run_after <= now() AND wait_reason <> 'budget'
    ORDER BY run_after LIMIT 500 FOR UPDATE SKIP LOCKED
)
RETURNING s.kind, s.id
"""

NEXT_DUE = """
SELECT extract(epoch FROM min(at) - now())::float FROM (
    SELECT min(run_after) AS at FROM tasks_step WHERE state = 'waiting' AND wait_reason <> 'budget'
    UNION ALL
    SELECT min(deadline_at) FROM tasks_run WHERE state IN ('pending', 'running', 'waiting') AND clock_stopped_at IS NULL
    UNION ALL
    SELECT min(deadline_at) FROM tasks_approval
    WHERE state = 'pending' AND (on_deadline <> '' OR escalated_at IS NULL)
) due
"""

FUNDED_RUNS = """
SELECT DISTINCT r.id FROM tasks_step s
JOIN tasks_run r ON r.id = s.run_id JOIN networks_network n ON n.id = r.network_id
WHERE s.state = 'waiting' AND s.wait_reason = 'budget' AND s.run_after <= now()
  AND (n.budget IS NULL OR r.cost < n.budget)
LIMIT 100
"""

RESUME_FUNDED = """
WITH before AS (
    SELECT id, (state = 'waiting')::int AS waited,
           statement_timestamp() - coalesce(clock_stopped_at, statement_timestamp()) AS stood
    FROM tasks_run WHERE id = %(run)s AND state IN ('running', 'waiting') FOR UPDATE
), run AS (
    UPDATE tasks_run r
    SET state = 'running', wait_reason = '', event_seq = r.event_seq + before.waited,
        updated_at = statement_timestamp(), deadline_at = r.deadline_at + before.stood, clock_stopped_at = NULL
    FROM before WHERE r.id = before.id
    RETURNING r.id, r.event_seq, before.waited, before.stood
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT id, event_seq, 'run.resumed', NULL, '{}', statement_timestamp() FROM run WHERE waited = 1
), clocks AS (
    UPDATE tasks_step s SET deadline_at = s.deadline_at + run.stood
    FROM run WHERE s.run_id = run.id AND s.state IN ('pending', 'ready', 'running', 'waiting')
      AND s.wait_reason <> 'budget'
)
UPDATE tasks_step s
SET state = 'ready', ready_at = statement_timestamp(), run_after = NULL, wait_reason = '',
    deadline_at = s.deadline_at + run.stood
FROM run WHERE s.run_id = run.id AND s.state = 'waiting' AND s.wait_reason = 'budget'
"""

OVERDUE_RUNS = """
SELECT id FROM tasks_run
WHERE state IN ('pending', 'running', 'waiting') AND deadline_at < now() AND clock_stopped_at IS NULL
ORDER BY deadline_at LIMIT 100
"""

# A workflow's step ends itself and may be tried again; a moment later its worker is not to be waited for.
OVERDUE_STEPS = """
SELECT s.id, s.run_id, s.fence, s.state, s.key, r.planner FROM tasks_step s JOIN tasks_run r ON r.id = s.run_id
WHERE s.deadline_at < now() - CASE WHEN r.planner = 'graph' AND s.state = 'running' THEN interval '2 s'
                                   ELSE interval '0' END
  AND s.state IN ('pending', 'ready', 'running', 'waiting')
  AND r.clock_stopped_at IS NULL AND r.state IN ('running', 'waiting')
ORDER BY s.run_id, s.id LIMIT 100
"""
