"""The statements that only workflows need: what ended before, waits without a slot, tools, approvals."""

# The ended steps of some nodes, of all their rounds, and of the parents.
ENDED_STEPS = """
SELECT s.id, s.key, s.state, s.error_code, s.error_detail, b.output, b.writes
FROM tasks_step s JOIN tasks_stepbody b ON b.step_id = s.id
WHERE s.run_id = %(run)s AND s.state IN ('succeeded', 'failed', 'skipped', 'cancelled')
  AND (s.id = ANY(%(parents)s) OR split_part(s.key, '.', 1) = ANY(%(nodes)s))
ORDER BY s.finished_at, s.id
"""

# A step that waits for a person or for another run; others of its run may take its place.
WAIT_STEP = """
WITH step AS (
    UPDATE tasks_step
    SET state = %(state)s::text, owner = '', releases = releases + 1, wait_reason = %(reason)s, run_after = NULL
    WHERE id = %(step)s AND fence = %(fence)s AND state = 'running'
    RETURNING id, project_id, claimed_at
), body AS (
    UPDATE tasks_stepbody b SET input = coalesce(%(input)s::jsonb, b.input) FROM step WHERE b.step_id = step.id
), attempt AS (
    INSERT INTO tasks_attempt (step_id, fence, worker, outcome, detail, started_at, finished_at)
    SELECT id, %(fence)s, %(worker)s, 'released', %(detail)s, coalesce(claimed_at, statement_timestamp()),
        statement_timestamp()
    FROM step ON CONFLICT DO NOTHING
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT %(run)s, (e->>'seq')::int, e->>'type', e->>'step_id', e->'payload', statement_timestamp()
    FROM step, jsonb_array_elements(%(event_rows)s) AS e
), approval AS (
    INSERT INTO tasks_approval (id, project_id, run_id, step_id, state, instructions, data, form_schema, approvers,
        deadline_at, on_deadline, escalate_to, decided_by, edited, comment, created_at)
    SELECT a.id, step.project_id, %(run)s, step.id, 'pending', a.instructions, a.data, a.form_schema,
        ARRAY(SELECT jsonb_array_elements_text(a.approvers)),
        statement_timestamp() + make_interval(secs => a.seconds), a.on_deadline,
        ARRAY(SELECT jsonb_array_elements_text(a.escalate_to)), '', false, '', statement_timestamp()
    FROM step, jsonb_to_recordset(%(approval)s) AS a(id text, instructions text, data jsonb, form_schema jsonb,
        approvers jsonb, seconds float, on_deadline text, escalate_to jsonb)
    ON CONFLICT (step_id) DO UPDATE
    SET state = 'pending', instructions = excluded.instructions, data = excluded.data, deadline_at = excluded.deadline_at,
        approvers = excluded.approvers, decided_by = '', decided_at = NULL, output = NULL, comment = '', edited = false
), run AS (
    UPDATE tasks_run r
    SET event_seq = %(event_seq)s, state = %(run_state)s, wait_reason = %(run_reason)s,
        updated_at = statement_timestamp(),
        clock_stopped_at = CASE WHEN %(stop_clock)s THEN coalesce(r.clock_stopped_at, statement_timestamp()) END
    FROM step WHERE r.id = %(run)s
), promoted AS (
    UPDATE tasks_step t
    SET state = 'ready', ready_at = statement_timestamp(),
        rank = statement_timestamp() - make_interval(secs => %(priority_seconds)s)
    FROM step WHERE t.id = ANY(%(promoted)s) AND t.state = 'pending'
)
SELECT 1 / count(*) FROM step
"""

# A ready step that is done within the transaction that made it ready.
TAKE_STEP = """
UPDATE tasks_step
SET state = 'running', owner = %(owner)s, fence = fence + 1, wait_reason = '', run_after = NULL,
    claimed_at = statement_timestamp(), started_at = coalesce(started_at, statement_timestamp())
WHERE id = %(step)s AND state = 'ready'
RETURNING fence
"""

# The run that a step is about to wait for may just have ended.
ENDED_MEANWHILE = """
UPDATE tasks_step s SET state = 'ready', wait_reason = '', ready_at = statement_timestamp()
FROM tasks_run child
WHERE s.id = %(step)s AND s.state = 'waiting' AND child.id = %(child)s
  AND child.state IN ('succeeded', 'failed', 'cancelled')
RETURNING s.kind, s.id
"""

CHILD_RUN = """
SELECT r.id, r.task_id, r.state, r.error_code, r.error_detail, b.output, count(*) OVER () AS number
FROM tasks_run r JOIN tasks_runbody b ON b.run_id = r.id
WHERE r.parent_step_id = %(step)s ORDER BY r.id DESC LIMIT 1
"""

# Steps whose run has ended and was not told, and runs whose step has gone on without them.
FORGOTTEN_PARENTS = """
UPDATE tasks_step s SET state = 'ready', wait_reason = '', ready_at = now()
WHERE s.id IN (
    SELECT p.id FROM tasks_step p
    WHERE p.state = 'waiting' AND p.wait_reason = 'run' AND NOT EXISTS (
        SELECT 1 FROM tasks_run c
        WHERE c.parent_step_id = p.id AND c.state NOT IN ('succeeded', 'failed', 'cancelled'))
    LIMIT 100 FOR UPDATE SKIP LOCKED
)
"""

FORGOTTEN_CHILDREN = """
SELECT c.id FROM tasks_run c JOIN tasks_step p ON p.id = c.parent_step_id
WHERE c.parent_step_id IS NOT NULL AND c.state IN ('pending', 'running', 'waiting')
  AND p.state IN ('succeeded', 'failed', 'skipped', 'cancelled')
LIMIT 100
"""

# --- callers -----------------------------------------------------------------------------------------

RUN_INPUT = "SELECT input FROM tasks_runbody WHERE run_id = %(run)s"

# --- approvals ---------------------------------------------------------------------------------------

APPROVAL = """
SELECT a.id, a.run_id, a.step_id, a.project_id, a.state, a.data, a.form_schema, a.approvers, a.on_deadline,
       a.escalate_to, a.escalated_at, a.decided_by, a.decided_at, a.deadline_at < statement_timestamp() AS due,
       b.input AS run_input
FROM tasks_approval a JOIN tasks_runbody b ON b.run_id = a.run_id WHERE a.id = %(approval)s
"""

DECIDE_APPROVAL = """
UPDATE tasks_approval
SET state = %(state)s, decided_by = %(by)s, decided_at = statement_timestamp(), comment = %(comment)s,
    output = %(output)s, edited = %(edited)s
WHERE id = %(approval)s
"""

REASSIGN_APPROVAL = """
UPDATE tasks_approval
SET approvers = %(approvers)s, escalated_at = CASE WHEN %(escalated)s THEN statement_timestamp() ELSE escalated_at END,
    deadline_at = CASE WHEN %(escalated)s AND on_deadline = 'escalate' THEN NULL ELSE deadline_at END
WHERE id = %(approval)s
"""

DUE_APPROVALS = """
SELECT id, run_id FROM tasks_approval
WHERE state = 'pending' AND deadline_at < now() AND (on_deadline <> '' OR escalated_at IS NULL)
ORDER BY deadline_at LIMIT 100
"""

APPEND_EVENTS = """
WITH event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT %(run)s, (e->>'seq')::int, e->>'type', e->>'step_id', e->'payload', statement_timestamp()
    FROM jsonb_array_elements(%(event_rows)s) AS e
)
UPDATE tasks_run SET event_seq = %(event_seq)s, updated_at = statement_timestamp() WHERE id = %(run)s
"""

# A person has said what became of a tool's call: the step may go on.
RESUME_STEP = """
WITH step AS (
    UPDATE tasks_step SET state = 'ready', wait_reason = '', ready_at = statement_timestamp()
    WHERE id = %(step)s AND state = 'waiting_human'
    RETURNING id
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT %(run)s, (e->>'seq')::int, e->>'type', e->>'step_id', e->'payload', statement_timestamp()
    FROM step, jsonb_array_elements(%(event_rows)s) AS e
)
UPDATE tasks_run r
SET event_seq = %(event_seq)s, state = 'running', wait_reason = '', updated_at = statement_timestamp(),
    deadline_at = r.deadline_at + (statement_timestamp() - coalesce(r.clock_stopped_at, statement_timestamp())),
    clock_stopped_at = NULL
FROM step WHERE r.id = %(run)s
"""

# What the call is taken for: it succeeded with this, it failed, or it is to be made again.
RESOLVE_TOOL_CALLS = """
UPDATE agents_toolcall
SET state = %(state)s, output = %(output)s, error_code = %(code)s, error_detail = %(detail)s,
    finished_at = statement_timestamp()
WHERE step_id = %(step)s AND id = ANY(%(calls)s)
"""

# --- tools -------------------------------------------------------------------------------------------

TOOL_CALLS = """
SELECT id, turn, index, name, state, output, error_code, error_detail, arguments
FROM agents_toolcall WHERE step_id = %(step)s ORDER BY turn, index
"""

# Calls of one turn, written before they are made: of a step that is still ours, with its frozen context and events.
BEGIN_TOOLS = """
WITH ours AS (
    SELECT id FROM tasks_step WHERE id = %(step)s AND state = 'running' AND fence = %(fence)s FOR UPDATE
), before AS (
    SELECT r.id, r.event_seq, (r.state = 'waiting')::int AS waited
    FROM tasks_run r, ours WHERE r.id = %(run)s AND r.state IN ('running', 'waiting')
), run AS (
    UPDATE tasks_run r
    SET event_seq = r.event_seq + before.waited + jsonb_array_length(%(events)s), state = 'running', wait_reason = '',
        updated_at = statement_timestamp()
    FROM before WHERE r.id = before.id
), body AS (
    UPDATE tasks_stepbody b SET context = %(context)s::jsonb FROM before
    WHERE b.step_id = %(step)s AND b.context IS NULL AND %(context)s::jsonb IS NOT NULL
), call AS (
    INSERT INTO agents_toolcall (id, project_id, tool_id, agent_id, run_id, step_id, turn, index, name, state,
        idempotency_key, arguments, error_code, error_detail, started_at)
    SELECT c.id, %(project)s, c.tool_id, %(agent)s, %(run)s, %(step)s, %(turn)s, c.index, c.name, 'started',
        c.idempotency_key, c.arguments, '', '', statement_timestamp()
    FROM before, jsonb_to_recordset(%(calls)s) AS c(id text, tool_id text, index int, name text,
        idempotency_key text, arguments jsonb)
    ON CONFLICT (idempotency_key) DO UPDATE
    SET state = 'started', started_at = statement_timestamp(), finished_at = NULL, error_code = '', error_detail = ''
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT before.id, before.event_seq + 1, 'run.resumed', NULL, '{}', statement_timestamp()
    FROM before WHERE before.waited = 1
    UNION ALL
    SELECT before.id, before.event_seq + before.waited + e.place, e.value->>'type', %(step)s, e.value->'payload',
        statement_timestamp()
    FROM before, jsonb_array_elements(%(events)s) WITH ORDINALITY AS e(value, place)
)
SELECT count(*) AS written FROM before
"""

# By its key, whatever the fence: what a tool did, it did.
SETTLE_TOOL = """
UPDATE agents_toolcall
SET state = %(state)s, output = %(output)s, error_code = %(code)s, error_detail = %(detail)s,
    finished_at = statement_timestamp()
WHERE idempotency_key = %(key)s AND state IN ('started', 'unknown')
"""

TOOL_SECRETS = "SELECT encrypted_secrets FROM agents_tool WHERE id = %(tool)s"

REMEMBER = """
WITH item AS (
    INSERT INTO memory_memoryitem (id, project_id, network_id, type, content, confidence, metadata, source,
        source_agent_id, source_run_id, source_step_id, source_key_id, trusted, write_key, version, created_at,
        updated_at)
    VALUES (%(id)s, %(project)s, %(network)s, %(type)s, %(content)s, %(confidence)s, '{}', 'agent', %(agent)s, %(run)s,
        %(step)s, '', true, %(key)s, 1, now(), now())
    ON CONFLICT (write_key) DO NOTHING
    RETURNING id
)
SELECT id FROM item UNION ALL SELECT id FROM memory_memoryitem WHERE write_key = %(key)s LIMIT 1
"""
