"""The ledger of model calls."""

JOURNAL = """
SELECT c.turn, c.state, c.provider, c.model, c.failure, c.chain_pass, b.reply
FROM agents_modelcall c LEFT JOIN agents_modelcallbody b ON b.call_id = c.id
WHERE c.step_id = %(step)s ORDER BY c.turn, c.try_number, c.id
"""

# First half of writing calls down: the runs' locks, in the order of their ids, and the money that is left.
LOCK_RUNS_FOR_CALLS = """
SELECT r.id, r.state, r.cost, n.budget
FROM tasks_run r LEFT JOIN networks_network n ON n.id = r.network_id
WHERE r.id = ANY(%(runs)s) AND r.state IN ('running', 'waiting')
ORDER BY r.id FOR UPDATE OF r
"""

# By a statement of its own, so that it sees what was reserved while the lock was waited for.
RESERVED = """
SELECT run_id, sum(reserved) FROM agents_modelcall WHERE run_id = ANY(%(runs)s) AND state = 'started' GROUP BY run_id
"""

# Second half: of the rows whose steps are still ours, and whose network has no budget unless the money was looked
# at (`funded`), the calls, the frozen contexts and the events, numbered
# on from what the locked runs had; a run that waited goes on and says so first.
BEGIN_CALLS = """
WITH rows AS (
    SELECT r.* FROM jsonb_to_recordset(%(rows)s) AS r(n int, call text, step text, fence int, run text, project text,
        network text, agent text, owner text, turn int, try int, pass int, provider text, model text, requested text,
        reserved numeric, context jsonb, request jsonb, events jsonb)
), ours AS (
    SELECT r.* FROM rows r JOIN tasks_step s ON s.id = r.step
    WHERE s.state = 'running' AND s.fence = r.fence AND (%(funded)s OR NOT EXISTS (
        SELECT 1 FROM networks_network n WHERE n.id = r.network AND n.budget IS NOT NULL))
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
