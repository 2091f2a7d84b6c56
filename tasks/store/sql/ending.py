"""The end of a step, what follows it, and the end of a run from outside."""

# By itself before a statement that changes the run's steps: one that waits for the lock does not see the steps
# that were added meanwhile.
HOLD_RUN = "SELECT 1 FROM tasks_run WHERE id = %(run)s FOR UPDATE"

LOCK_RUN = """
SELECT state, event_seq, max_iterations, max_parallel_steps, priority, project_id, network_id, planner,
       extract(epoch FROM deadline_at - now())::float AS seconds_left,
       extract(epoch FROM now() - started_at)::float AS age, wait_reason, snapshot_id, parent_step_id,
       clock_stopped_at IS NOT NULL AS clock_stopped
FROM tasks_run WHERE id = %(run)s FOR UPDATE
"""

# `crowded`: somebody else's or more urgent work waits, so the finisher must not help itself.
STEPS = """
WITH run AS MATERIALIZED (
    SELECT project_id, now() - make_interval(secs => priority * %(point)s) AS rank FROM tasks_run WHERE id = %(run)s
), crowd AS MATERIALIZED (
    SELECT EXISTS (SELECT 1 FROM tasks_step o, run WHERE o.state = 'ready' AND o.project_id = run.project_id
                   AND o.rank < run.rank AND o.run_id <> %(run)s)
        OR EXISTS (SELECT 1 FROM tasks_step o, run WHERE o.state = 'ready' AND o.project_id <> run.project_id)
        AS crowded
)
SELECT id, key, kind, state, parents, round, required, agent_id, error_code, error_detail, fence, label,
       wait_reason, taken, crowded
FROM tasks_step, crowd WHERE run_id = %(run)s ORDER BY id
"""

# With the reply that ended it, as in SETTLE_CALL. It fails when the step is not ours, which its run's lock excludes.
FINISH_STEP = """
WITH step AS (
    UPDATE tasks_step
    SET state = %(state)s, owner = '', wait_reason = '', run_after = NULL, finished_at = statement_timestamp(),
        error_code = %(error_code)s, error_detail = %(error_detail)s, fence = fence + %(bump)s,
        taken = %(taken)s::text[]
    WHERE id = %(step)s AND fence = %(fence)s AND state = ANY(%(from_states)s)
    RETURNING id, project_id, agent_id, claimed_at
), before AS (
    SELECT id, cost, step_id, turn FROM agents_modelcall
    WHERE id = %(call_call)s AND state IN ('started', 'unknown') FOR UPDATE
), call AS (
    UPDATE agents_modelcall c
    SET state = CASE WHEN %(call_state)s = 'succeeded' AND EXISTS (
                        SELECT 1 FROM agents_modelcall o
                        WHERE o.step_id = before.step_id AND o.turn = before.turn AND o.state = 'succeeded'
                     ) THEN 'superseded' ELSE %(call_state)s END,
        failure = %(call_failure)s, message = %(call_message)s, http_status = %(call_status)s,
        input_tokens = %(call_input_tokens)s, output_tokens = %(call_output_tokens)s,
        cached_tokens = %(call_cached_tokens)s, cost = %(call_cost)s, reserved = 0, latency_ms = %(call_latency)s,
        first_token_ms = %(call_first_token)s, provider_request_id = %(call_request_id)s,
        model = coalesce(nullif(%(call_model)s, ''), c.model), finished_at = statement_timestamp()
    FROM before WHERE c.id = before.id
), reply AS (
    INSERT INTO agents_modelcallbody (call_id, reply)
    SELECT id, %(call_reply)s FROM before WHERE %(call_reply)s::jsonb IS NOT NULL
    ON CONFLICT (call_id) DO UPDATE SET reply = excluded.reply
), paid AS (
    SELECT coalesce(sum(%(call_cost)s - cost), 0) AS cost, count(*) AS calls FROM before
), body AS (
    UPDATE tasks_stepbody b
    SET output = %(output)s, writes = %(writes)s, input = coalesce(%(input)s::jsonb, b.input)
    FROM step WHERE b.step_id = step.id
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
    UPDATE tasks_runbody b
    SET output = coalesce(%(run_output)s::jsonb,
                          (SELECT ended.output FROM tasks_stepbody ended WHERE ended.step_id = %(output_of)s))
    FROM step
    WHERE b.run_id = %(run)s AND (%(run_output)s::jsonb IS NOT NULL OR %(output_of)s <> '')
), run AS (
    UPDATE tasks_run r
    SET event_seq = %(event_seq)s, state = %(run_state)s, wait_reason = %(wait_reason)s,
        iterations = coalesce(%(iterations)s, r.iterations), error_code = %(run_error_code)s,
        error_detail = %(run_error_detail)s, updated_at = statement_timestamp(),
        deadline_at = CASE WHEN %(stop_clock)s THEN r.deadline_at
            ELSE r.deadline_at + (statement_timestamp() - coalesce(r.clock_stopped_at, statement_timestamp())) END,
        clock_stopped_at = CASE WHEN %(stop_clock)s THEN coalesce(r.clock_stopped_at, statement_timestamp()) END,
        finished_at = CASE WHEN %(terminal)s THEN statement_timestamp() END,
        cost = r.cost + paid.cost, input_tokens = r.input_tokens + paid.calls * %(call_input_tokens)s,
        output_tokens = r.output_tokens + paid.calls * %(call_output_tokens)s,
        cached_tokens = r.cached_tokens + paid.calls * %(call_cached_tokens)s
    FROM step, paid WHERE r.id = %(run)s
), others AS (
    UPDATE tasks_step t
    SET state = 'cancelled', owner = '', fence = t.fence + 1, finished_at = statement_timestamp(), wait_reason = '',
        error_code = CASE WHEN t.id = ANY(%(unneeded)s) THEN 'not_needed' ELSE t.error_code END
    FROM step WHERE (%(terminal)s OR cardinality(%(unneeded)s::text[]) > 0) AND t.run_id = %(run)s AND t.id <> step.id
      AND (%(terminal)s OR t.id = ANY(%(unneeded)s))
      AND t.state IN ('pending', 'ready', 'running', 'waiting', 'waiting_human')
), approvals AS (
    UPDATE tasks_approval a SET state = 'cancelled'
    FROM step WHERE (%(terminal)s OR cardinality(%(unneeded)s::text[]) > 0) AND a.run_id = %(run)s
      AND a.state = 'pending' AND (%(terminal)s OR a.step_id = ANY(%(unneeded)s))
), promoted AS (
    UPDATE tasks_step t
    SET state = p->>'state', owner = p->>'owner', fence = t.fence + (p->>'claim')::int, ready_at = statement_timestamp(),
        rank = statement_timestamp() - make_interval(secs => %(priority_seconds)s),
        claimed_at = CASE WHEN p->>'claim' = '1' THEN statement_timestamp() END,
        started_at = CASE WHEN p->>'claim' = '1' THEN statement_timestamp() END
    FROM step, jsonb_array_elements(%(promotions)s) AS p
    WHERE t.id = p->>'id' AND t.state = 'pending'
)
SELECT 1 / greatest(count(*), %(rehearsed)s) FROM step
"""

# Before a run goes on whose clock stood: what its steps were given of its time is theirs still.
SHIFT_DEADLINES = """
UPDATE tasks_step s SET deadline_at = s.deadline_at + (statement_timestamp() - r.clock_stopped_at)
FROM tasks_run r WHERE r.id = %(run)s AND s.run_id = r.id AND s.deadline_at IS NOT NULL
  AND s.state IN ('pending', 'ready', 'running', 'waiting')
"""

# The step of another run that waited for this one. It is locked first, so that one that is just about to wait is
# seen waiting.
WAKE_PARENT = """
WITH parent AS (SELECT id, state, wait_reason FROM tasks_step WHERE id = %(step)s FOR UPDATE)
UPDATE tasks_step s
SET state = 'ready', wait_reason = '', ready_at = statement_timestamp(), run_after = NULL
FROM parent WHERE s.id = parent.id AND parent.state = 'waiting' AND parent.wait_reason = 'run'
"""

INSERT_STEPS = """
WITH rows AS (
    SELECT r.* FROM jsonb_to_recordset(%(rows)s) AS r(id text, key text, kind text, label text, agent_id text,
        round int, required bool, parents jsonb, state text, owner text, fence int, seconds float, input jsonb,
        output jsonb, writes jsonb, taken jsonb, error_code text, error_detail text)
), step AS (
    INSERT INTO tasks_step (id, run_id, project_id, key, kind, version, label, agent_id, round, required, parents,
        state, wait_reason, rank, owner, fence, crashes, tries, releases, deadline_at, error_code, error_detail,
        created_at, ready_at, claimed_at, started_at, finished_at, taken)
    SELECT id, %(run)s, %(project)s, key, kind, %(version)s, label, agent_id, round, required,
        ARRAY(SELECT jsonb_array_elements_text(parents)), state, '',
        statement_timestamp() - make_interval(secs => %(priority_seconds)s), owner, fence, 0, 0, 0,
        statement_timestamp() + make_interval(secs => seconds), error_code, error_detail, statement_timestamp(),
        CASE WHEN fence > 0 OR state = 'ready' THEN statement_timestamp() END,
        CASE WHEN fence > 0 THEN statement_timestamp() END, CASE WHEN fence > 0 THEN statement_timestamp() END,
        CASE WHEN state IN ('succeeded', 'failed', 'skipped', 'cancelled') THEN statement_timestamp() END,
        CASE WHEN taken IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(taken)) END
    FROM rows
)
INSERT INTO tasks_stepbody (step_id, input, output, writes) SELECT id, input, output, writes FROM rows
"""

END_RUN = """
WITH run AS (
    UPDATE tasks_run
    SET state = %(state)s, wait_reason = '', error_code = %(code)s, error_detail = %(detail)s,
        event_seq = event_seq + 1, finished_at = statement_timestamp(), updated_at = statement_timestamp()
    WHERE id = %(run)s AND state NOT IN ('succeeded', 'failed', 'cancelled')
    RETURNING id, event_seq, planner, parent_step_id,
        extract(epoch FROM statement_timestamp() - started_at)::float AS age
), approvals AS (
    UPDATE tasks_approval a SET state = 'cancelled' FROM run WHERE a.run_id = run.id AND a.state = 'pending'
), waiting AS (
    SELECT p.id, p.state, p.wait_reason FROM tasks_step p JOIN run ON p.id = run.parent_step_id FOR UPDATE OF p
), woken AS (
    UPDATE tasks_step p
    SET state = 'ready', wait_reason = '', ready_at = statement_timestamp(), run_after = NULL
    FROM waiting WHERE p.id = waiting.id AND waiting.state = 'waiting' AND waiting.wait_reason = 'run'
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
