"""The statements of the hot path.

Those that run under a run's lock take the time of the statement, not of the transaction: a transaction that
waited for the lock began before the one it waited for, and a child would start before its parent ended.
"""

PRIORITY_SECONDS = 30  # what one priority point is worth in waiting time

# Fair between projects (in flight ÷ weight), then by rank. `projects` hops from one project with ready
# steps to the next by the partial index, so a long queue costs no more than a short one.
CLAIM = """
WITH RECURSIVE projects AS (
    (SELECT project_id FROM tasks_step WHERE state = 'ready' ORDER BY project_id LIMIT 1)
    UNION ALL
    SELECT (SELECT s.project_id FROM tasks_step s
            WHERE s.state = 'ready' AND s.project_id > p.project_id ORDER BY s.project_id LIMIT 1)
    FROM projects p WHERE p.project_id IS NOT NULL
), busy AS (
    SELECT project_id, count(*) AS n FROM tasks_step WHERE state = 'running' GROUP BY project_id
), candidates AS (
    SELECT c.id, c.rank,
           (coalesce(b.n, 0) + row_number() OVER (PARTITION BY p.project_id ORDER BY c.rank))::float
               / pr.weight AS share
    FROM projects p
    JOIN networks_project pr ON pr.id = p.project_id
    LEFT JOIN busy b ON b.project_id = p.project_id
    CROSS JOIN LATERAL (
        SELECT s.id, s.rank FROM tasks_step s
        WHERE s.state = 'ready' AND s.project_id = p.project_id
          AND s.kind = ANY(%(kinds)s) AND s.version <= %(version)s
        ORDER BY s.rank LIMIT %(limit)s * 2
    ) c
), picked AS (
    SELECT s.id FROM tasks_step s
    JOIN (SELECT id, share, rank FROM candidates ORDER BY share, rank LIMIT %(limit)s * 2) c ON c.id = s.id
    WHERE s.state = 'ready'
    ORDER BY c.share, c.rank
    LIMIT %(limit)s
    FOR UPDATE OF s SKIP LOCKED
)
UPDATE tasks_step t
SET state = 'running', owner = %(owner)s, fence = fence + 1, wait_reason = '', run_after = NULL,
    claimed_at = now(), started_at = coalesce(started_at, now())
FROM picked WHERE t.id = picked.id
RETURNING t.id
"""

LOAD = """
SELECT s.id, s.run_id, s.project_id, s.key, s.kind, s.label, s.round, s.agent_id, s.fence, s.releases,
       s.crashes, b.input, b.context, r.network_id, r.max_iterations, r.snapshot_id, rb.input AS run_input,
       extract(epoch FROM r.deadline_at - now())::float AS run_seconds,
       extract(epoch FROM s.deadline_at - now())::float AS step_seconds,
       extract(epoch FROM s.claimed_at - s.ready_at)::float AS queued_seconds, r.request_id
FROM tasks_step s
JOIN tasks_stepbody b ON b.step_id = s.id
JOIN tasks_run r ON r.id = s.run_id
JOIN tasks_runbody rb ON rb.run_id = s.run_id
WHERE s.id = ANY(%(ids)s) AND s.owner = %(owner)s AND s.state = 'running'
"""

SNAPSHOT = "SELECT body FROM tasks_snapshot WHERE hash = %(hash)s"

JOURNAL = """
SELECT c.turn, c.state, c.provider, c.model, c.failure, c.chain_pass, b.reply
FROM agents_modelcall c LEFT JOIN agents_modelcallbody b ON b.call_id = c.id
WHERE c.step_id = %(step)s ORDER BY c.turn, c.try_number, c.id
"""

RESULTS = """
SELECT s.key, s.agent_id, b.input->>'description' AS description, s.state, s.required, b.output, s.error_detail
FROM tasks_step s JOIN tasks_stepbody b ON b.step_id = s.id
WHERE s.run_id = %(run)s AND s.kind = 'delegate' AND s.state IN ('succeeded', 'failed', 'cancelled', 'skipped')
ORDER BY s.round, s.id
"""

# First half of writing calls down: the runs' locks, in the order of their ids, and the money that is left.
LOCK_RUNS_FOR_CALLS = """
SELECT r.id, r.state, r.cost, n.budget
FROM tasks_run r JOIN networks_network n ON n.id = r.network_id
WHERE r.id = ANY(%(runs)s) AND r.state IN ('running', 'waiting')
ORDER BY r.id FOR UPDATE OF r
"""

# By a statement of its own, so that it sees what was reserved while the lock was waited for.
RESERVED = """
SELECT run_id, sum(reserved) FROM agents_modelcall WHERE run_id = ANY(%(runs)s) AND state = 'started' GROUP BY run_id
"""

# Second half: of the rows whose steps are still ours, the calls, the frozen contexts and the events, numbered
# on from what the locked runs had; a run that waited goes on and says so first.
BEGIN_CALLS = """
WITH rows AS (
    SELECT r.* FROM jsonb_to_recordset(%(rows)s) AS r(n int, call text, step text, fence int, run text, project text,
        network text, agent text, owner text, turn int, try int, pass int, provider text, model text, requested text,
        reserved numeric, context jsonb, request jsonb, events jsonb)
), ours AS (
    SELECT r.* FROM rows r JOIN tasks_step s ON s.id = r.step
    WHERE s.state = 'running' AND s.fence = r.fence
    ORDER BY s.id FOR UPDATE OF s
), counts AS (
    SELECT run, count(*) AS calls, sum(jsonb_array_length(events)) AS events FROM ours GROUP BY run
), runs AS (
    UPDATE tasks_run r
    SET event_seq = r.event_seq + c.events + (r.state = 'waiting')::int, model_calls = r.model_calls + c.calls,
        state = 'running', wait_reason = '', updated_at = statement_timestamp()
    FROM counts c WHERE r.id = c.run
), body AS (
    UPDATE tasks_stepbody b SET context = o.context FROM ours o
    WHERE b.step_id = o.step AND b.context IS NULL AND o.context IS NOT NULL
), call AS (
    INSERT INTO agents_modelcall (id, project_id, network_id, agent_id, run_id, step_id, turn, try_number,
        chain_pass, owner, state, provider, model, requested_model, failure, message, input_tokens,
        output_tokens, cached_tokens, reserved, cost, provider_request_id, started_at)
    SELECT call, project, network, agent, run, step, turn, try, pass, owner, 'started', provider, model, requested,
        '', '', 0, 0, 0, reserved, 0, '', statement_timestamp()
    FROM ours
), request AS (
    INSERT INTO agents_modelcallbody (call_id, request) SELECT call, request FROM ours WHERE request IS NOT NULL
), told AS (
    SELECT o.run, o.step, e.value, row_number() OVER (PARTITION BY o.run ORDER BY o.n, e.place) AS k
    FROM ours o, jsonb_array_elements(o.events) WITH ORDINALITY AS e(value, place)
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT r.id, r.event_seq + 1, 'run.resumed', NULL, '{}', statement_timestamp()
    FROM counts c JOIN tasks_run r ON r.id = c.run WHERE r.state = 'waiting'
    UNION ALL
    SELECT t.run, r.event_seq + (r.state = 'waiting')::int + t.k, t.value->>'type', t.step, t.value->'payload',
        statement_timestamp()
    FROM told t JOIN tasks_run r ON r.id = t.run
)
SELECT call FROM ours
"""

ABANDON_CALLS = """
UPDATE agents_modelcall
SET state = 'cancelled', reserved = 0, message = 'It was never sent.', finished_at = now()
WHERE id = ANY(%(calls)s) AND state = 'started'
"""

# A settled call: by id, whatever the fence. The first reply of a turn wins; later ones are superseded.
SETTLE_CALL = """
WITH before AS (
    SELECT id, cost, run_id, step_id, turn FROM agents_modelcall
    WHERE id = %(call)s AND state IN ('started', 'unknown') FOR UPDATE
), call AS (
    UPDATE agents_modelcall c
    SET state = CASE WHEN %(state)s = 'succeeded' AND EXISTS (
                        SELECT 1 FROM agents_modelcall o
                        WHERE o.step_id = before.step_id AND o.turn = before.turn AND o.state = 'succeeded'
                     ) THEN 'superseded' ELSE %(state)s END,
        failure = %(failure)s, message = %(message)s, http_status = %(status)s,
        input_tokens = %(input_tokens)s, output_tokens = %(output_tokens)s, cached_tokens = %(cached_tokens)s,
        cost = %(cost)s, reserved = 0, latency_ms = %(latency)s, first_token_ms = %(first_token)s,
        provider_request_id = %(request_id)s, model = coalesce(nullif(%(model)s, ''), c.model),
        finished_at = statement_timestamp()
    FROM before WHERE c.id = before.id
), body AS (
    INSERT INTO agents_modelcallbody (call_id, reply)
    SELECT id, %(reply)s FROM before WHERE %(reply)s::jsonb IS NOT NULL
    ON CONFLICT (call_id) DO UPDATE SET reply = excluded.reply
)
UPDATE tasks_run r
SET cost = r.cost + %(cost)s - before.cost, input_tokens = r.input_tokens + %(input_tokens)s,
    output_tokens = r.output_tokens + %(output_tokens)s, cached_tokens = r.cached_tokens + %(cached_tokens)s
FROM before WHERE r.id = before.run_id
RETURNING r.id
"""

# A failed try that cost nothing touches the ledger only.
SETTLE_FREE_CALL = """
UPDATE agents_modelcall
SET state = %(state)s, failure = %(failure)s, message = %(message)s, http_status = %(status)s, reserved = 0,
    latency_ms = %(latency)s, provider_request_id = %(request_id)s, finished_at = statement_timestamp()
WHERE id = %(call)s AND state = 'started'
"""

# By itself before a statement that changes the run's steps: one that waits for the lock does not see the steps
# that were added meanwhile.
HOLD_RUN = "SELECT 1 FROM tasks_run WHERE id = %(run)s FOR UPDATE"

LOCK_RUN = """
SELECT state, event_seq, max_iterations, max_parallel_steps, priority, project_id, network_id, planner,
       extract(epoch FROM deadline_at - now())::float AS seconds_left,
       extract(epoch FROM now() - started_at)::float AS age, wait_reason
FROM tasks_run WHERE id = %(run)s FOR UPDATE
"""

# `crowded`: somebody else's or more urgent work waits, so the finisher must not help itself.
STEPS = """
SELECT id, key, kind, state, parents, round, required, agent_id, error_code, error_detail, fence, label,
       wait_reason,
       (SELECT EXISTS (SELECT 1 FROM tasks_step o WHERE o.state = 'ready' AND o.project_id = %(project)s
                       AND o.rank < now() - make_interval(secs => %(priority_seconds)s)
                       AND o.run_id <> %(run)s)
            OR EXISTS (SELECT 1 FROM tasks_step o WHERE o.state = 'ready' AND o.project_id <> %(project)s)
       ) AS crowded
FROM tasks_step WHERE run_id = %(run)s ORDER BY id
"""

FINISH_STEP = """
WITH step AS (
    UPDATE tasks_step
    SET state = %(state)s, owner = '', wait_reason = '', run_after = NULL, finished_at = statement_timestamp(),
        error_code = %(error_code)s, error_detail = %(error_detail)s, fence = fence + %(bump)s
    WHERE id = %(step)s AND fence = %(fence)s AND state = ANY(%(from_states)s)
    RETURNING id, project_id, agent_id, claimed_at
), body AS (
    UPDATE tasks_stepbody b SET output = %(output)s FROM step WHERE b.step_id = step.id
), attempt AS (
    INSERT INTO tasks_attempt (step_id, fence, worker, outcome, detail, started_at, finished_at)
    SELECT id, %(fence)s, %(worker)s, %(outcome)s, left(%(error_detail)s, 500),
        coalesce(claimed_at, statement_timestamp()), statement_timestamp()
    FROM step ON CONFLICT DO NOTHING
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT %(run)s, (e->>'seq')::int, e->>'type', e->>'step_id', e->'payload', statement_timestamp()
    FROM step, jsonb_array_elements(%(event_rows)s) AS e
), memory AS (
    INSERT INTO memory_memoryitem (id, project_id, network_id, type, content, confidence, metadata, source,
        source_agent_id, source_run_id, source_step_id, source_key_id, trusted, write_key, version,
        created_at, updated_at)
    SELECT m.id, step.project_id, %(network)s::text, m.type, m.content, m.confidence, '{}', 'agent',
        step.agent_id, %(run)s, step.id, '', true, m.write_key, 1, statement_timestamp(), statement_timestamp()
    FROM step, jsonb_to_recordset(%(memories)s) AS m(id text, type text, content text, confidence float, write_key text)
    WHERE NOT EXISTS (
        SELECT 1 FROM memory_memoryitem known
        WHERE known.network_id = %(network)s::text AND known.content_hash = md5(m.content) AND known.superseded_at IS NULL
          AND (known.expires_at IS NULL OR known.expires_at > now())
    )
    ON CONFLICT (write_key) DO NOTHING
), result AS (
    UPDATE tasks_runbody b SET output = %(run_output)s FROM step
    WHERE b.run_id = %(run)s AND %(run_output)s::jsonb IS NOT NULL
), run AS (
    UPDATE tasks_run r
    SET event_seq = %(event_seq)s, state = %(run_state)s, wait_reason = %(wait_reason)s,
        iterations = coalesce(%(iterations)s, r.iterations), error_code = %(run_error_code)s,
        error_detail = %(run_error_detail)s, updated_at = statement_timestamp(),
        clock_stopped_at = CASE WHEN %(stop_clock)s THEN statement_timestamp() ELSE r.clock_stopped_at END,
        finished_at = CASE WHEN %(terminal)s THEN statement_timestamp() END
    FROM step WHERE r.id = %(run)s
), others AS (
    UPDATE tasks_step t
    SET state = 'cancelled', owner = '', fence = t.fence + 1, finished_at = statement_timestamp(), wait_reason = ''
    FROM step WHERE %(terminal)s AND t.run_id = %(run)s AND t.id <> step.id
      AND t.state IN ('pending', 'ready', 'running', 'waiting', 'waiting_human')
), promoted AS (
    UPDATE tasks_step t
    SET state = p->>'state', owner = p->>'owner', fence = t.fence + (p->>'claim')::int, ready_at = statement_timestamp(),
        rank = statement_timestamp() - make_interval(secs => %(priority_seconds)s),
        claimed_at = CASE WHEN p->>'claim' = '1' THEN statement_timestamp() END,
        started_at = CASE WHEN p->>'claim' = '1' THEN statement_timestamp() END
    FROM step, jsonb_array_elements(%(promotions)s) AS p
    WHERE t.id = p->>'id' AND t.state = 'pending'
)
SELECT count(*) FROM step
"""

INSERT_STEPS = """
WITH rows AS (
    SELECT r.* FROM jsonb_to_recordset(%(rows)s) AS r(id text, key text, kind text, label text, agent_id text,
        round int, required bool, parents jsonb, state text, owner text, fence int, seconds float, input jsonb)
), step AS (
    INSERT INTO tasks_step (id, run_id, project_id, key, kind, version, label, agent_id, round, required, parents,
        state, wait_reason, rank, owner, fence, crashes, tries, releases, deadline_at, error_code, error_detail,
        created_at, ready_at, claimed_at, started_at)
    SELECT id, %(run)s, %(project)s, key, kind, %(version)s, label, agent_id, round, required,
        ARRAY(SELECT jsonb_array_elements_text(parents)), state, '',
        statement_timestamp() - make_interval(secs => %(priority_seconds)s), owner, fence, 0, 0, 0,
        statement_timestamp() + make_interval(secs => seconds), '', '', statement_timestamp(),
        CASE WHEN state <> 'pending' THEN statement_timestamp() END, CASE WHEN fence > 0 THEN statement_timestamp() END,
        CASE WHEN fence > 0 THEN statement_timestamp() END
    FROM rows
)
INSERT INTO tasks_stepbody (step_id, input) SELECT id, input FROM rows
"""

# Back to wait, or to the queue: neither a crash nor a try.
RELEASE_STEP = """
WITH step AS (
    UPDATE tasks_step
    SET state = %(state)s::text, owner = '', releases = releases + 1, wait_reason = %(reason)s,
        run_after = CASE WHEN %(state)s = 'waiting' THEN statement_timestamp() + make_interval(secs => %(seconds)s) END,
        ready_at = CASE WHEN %(state)s = 'ready' THEN statement_timestamp() ELSE ready_at END
    WHERE id = %(step)s AND fence = %(fence)s AND state = 'running'
    RETURNING id, claimed_at
), attempt AS (
    INSERT INTO tasks_attempt (step_id, fence, worker, outcome, detail, started_at, finished_at)
    SELECT id, %(fence)s, %(worker)s, 'released', %(detail)s, claimed_at, statement_timestamp()
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

LOST_STEPS = """
SELECT i.id FROM jsonb_to_recordset(%(held)s) AS i(id text, fence int)
LEFT JOIN tasks_step s ON s.id = i.id
WHERE s.id IS NULL OR s.state <> 'running' OR s.fence <> i.fence OR s.owner <> %(owner)s
"""

# --- the beginning of a run --------------------------------------------------------------------------

# Everything a run starts with, in one statement; `steps` and `events` are rows as JSON.
START_RUN = """
WITH run AS (
    INSERT INTO tasks_run (id, project_id, network_id, task_id, planner, snapshot_id, state, wait_reason, priority,
        event_seq, iterations, max_iterations, max_parallel_steps, deadline_at, cost, input_tokens, output_tokens,
        cached_tokens, model_calls, error_code, error_detail, replayed_from_id, request_id, created_at, started_at,
        updated_at)
    VALUES (%(run)s, %(project)s, %(network)s, %(task)s, 'delegation', %(snapshot)s, 'running', '', %(priority)s,
        jsonb_array_length(%(events)s), %(iterations)s, %(max_iterations)s, %(max_parallel)s, least(
            now() + make_interval(secs => %(timeout)s), %(deadline)s), 0, 0, 0,
        0, 0, '', '', %(replayed_from)s, %(request_id)s, now(), now(), now())
), body AS (
    INSERT INTO tasks_runbody (run_id, input) VALUES (%(run)s, %(input)s)
), rows AS (
    SELECT r.* FROM jsonb_to_recordset(%(steps)s) AS r(id text, key text, kind text, label text, agent_id text,
        round int, required bool, parents jsonb, state text, error_code text, error_detail text,
        started_at timestamptz, finished_at timestamptz, input jsonb, output jsonb)
), step AS (
    INSERT INTO tasks_step (id, run_id, project_id, key, kind, version, label, agent_id, round, required, parents,
        state, wait_reason, rank, owner, fence, crashes, tries, releases, error_code, error_detail, created_at,
        ready_at, started_at, finished_at)
    SELECT id, %(run)s, %(project)s, key, kind, %(version)s, label, agent_id, round, required,
        ARRAY(SELECT jsonb_array_elements_text(parents)), state, '',
        now() - make_interval(secs => %(priority_seconds)s), '', 0, 0, 0, 0, error_code, error_detail, now(),
        CASE WHEN state = 'ready' THEN now() END, started_at, finished_at
    FROM rows
), step_body AS (
    INSERT INTO tasks_stepbody (step_id, input, output) SELECT id, input, output FROM rows
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT %(run)s, e.n, e.value->>'type', e.value->>'step_id', e.value->'payload', now()
    FROM jsonb_array_elements(%(events)s) WITH ORDINALITY AS e(value, n)
)
UPDATE tasks_task SET run_id = %(run)s WHERE id = %(task)s
"""

# --- the end of a run from outside: cancelled, or out of time ----------------------------------------

END_RUN = """
WITH run AS (
    UPDATE tasks_run
    SET state = %(state)s, wait_reason = '', error_code = %(code)s, error_detail = %(detail)s,
        event_seq = event_seq + 1, finished_at = statement_timestamp(), updated_at = statement_timestamp()
    WHERE id = %(run)s AND state NOT IN ('succeeded', 'failed', 'cancelled')
    RETURNING id, event_seq, planner, extract(epoch FROM statement_timestamp() - started_at)::float AS age
), steps AS (
    UPDATE tasks_step t
    SET state = 'cancelled', owner = '', fence = t.fence + 1, finished_at = statement_timestamp(), wait_reason = '',
        error_code = %(code)s
    FROM run WHERE t.run_id = run.id
      AND t.state IN ('pending', 'ready', 'running', 'waiting', 'waiting_human')
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT id, event_seq, %(event)s, NULL, %(payload)s, statement_timestamp() FROM run
)
SELECT planner, age FROM run
"""

# --- leases ----------------------------------------------------------------------------------------

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

# Calls whose worker is gone before a reply came: their outcome is unknown, their cost an estimate.
CLOSE_LOST_CALLS = """
WITH lost AS (
    UPDATE agents_modelcall c
    SET state = 'unknown', cost = reserved, reserved = 0, finished_at = statement_timestamp(),
        message = 'The worker was lost before a reply was recorded.'
    WHERE c.run_id = %(run)s AND c.state = 'started' AND c.owner = %(owner)s
    RETURNING cost
)
UPDATE tasks_run SET cost = cost + (SELECT coalesce(sum(cost), 0) FROM lost) WHERE id = %(run)s
"""

# --- what time brings ------------------------------------------------------------------------------

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

OVERDUE_STEPS = """
SELECT s.id, s.run_id, s.fence, s.state, s.key FROM tasks_step s JOIN tasks_run r ON r.id = s.run_id
WHERE s.deadline_at < now() AND s.state IN ('pending', 'ready', 'running', 'waiting')
  AND r.clock_stopped_at IS NULL AND r.state IN ('running', 'waiting')
ORDER BY s.run_id, s.id LIMIT 100
"""

STALE_CALLS = """
SELECT DISTINCT run_id FROM agents_modelcall
WHERE state = 'started' AND started_at < now() - interval '30 minutes' LIMIT 500
"""

CLOSE_STALE_CALLS = """
WITH stale AS (
    UPDATE agents_modelcall
    SET state = 'unknown', cost = reserved, reserved = 0, finished_at = statement_timestamp(),
        message = 'No reply was recorded.'
    WHERE run_id IS NOT DISTINCT FROM %(run)s AND state = 'started' AND started_at < now() - interval '30 minutes'
    RETURNING cost
)
UPDATE tasks_run SET cost = cost + (SELECT coalesce(sum(cost), 0) FROM stale) WHERE id = %(run)s
"""
