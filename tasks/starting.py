"""The statements that make tasks and start runs: one for each, however many rows it writes."""

from web.statements import Statement

_NEW_TASK = """
INSERT INTO tasks_task (id, project_id, network_id, description, context, priority, deadline, output_schema, run_id,
    request_id, created_at)
VALUES (%(task)s::text, %(project)s::text, %(network)s::text, %(description)s, %(context)s, %(priority)s::int,
    %(deadline)s::timestamptz, %(schema)s, %(run)s::text, %(request_id)s::text, %(created_at)s::timestamptz)
"""

# Everything a run starts with; `steps` and `events` are rows as JSON. The snapshot is nearly always there already.
_START = """
WITH snapshot AS (
    INSERT INTO tasks_snapshot (hash, body, created_at) VALUES (%(snapshot)s::text, %(snapshot_body)s, now())
    ON CONFLICT (hash) DO NOTHING
), run AS (
    INSERT INTO tasks_run (id, project_id, network_id, task_id, planner, snapshot_id, state, wait_reason, priority,
        event_seq, iterations, max_iterations, max_parallel_steps, deadline_at, cost, input_tokens, output_tokens,
        cached_tokens, model_calls, error_code, error_detail, replayed_from_id, request_id, created_at, started_at,
        updated_at, workflow_id, workflow_version, parent_step_id, source)
    VALUES (%(run)s::text, %(project)s::text, %(network)s::text, %(task)s::text, %(planner)s::text, %(snapshot)s::text,
        'running', '', %(priority)s::int, jsonb_array_length(%(events)s), %(iterations)s::int, %(max_iterations)s::int,
        %(max_parallel)s::int, least(now() + make_interval(secs => %(timeout)s::float), %(deadline)s::timestamptz),
        0, 0, 0, 0, 0, '', '', %(replayed_from)s::text, %(request_id)s::text, now(), now(), now(),
        %(workflow)s::text, %(workflow_version)s::int, %(parent_step)s::text, %(source)s::text)
), body AS (
    INSERT INTO tasks_runbody (run_id, input) VALUES (%(run)s::text, %(input)s)
), rows AS (
    SELECT r.* FROM jsonb_to_recordset(%(steps)s) AS r(id text, key text, kind text, label text, agent_id text,
        round int, required bool, parents jsonb, state text, error_code text, error_detail text,
        fence int, started_at timestamptz, finished_at timestamptz, seconds float, taken jsonb, input jsonb,
        output jsonb, writes jsonb)
), step AS (
    INSERT INTO tasks_step (id, run_id, project_id, key, kind, version, label, agent_id, round, required, parents,
        state, wait_reason, rank, owner, fence, crashes, tries, releases, error_code, error_detail, created_at,
        ready_at, started_at, finished_at, deadline_at, taken)
    SELECT id, %(run)s::text, %(project)s::text, key, kind, %(version)s::int, label, agent_id, round, required,
        ARRAY(SELECT jsonb_array_elements_text(parents)), state, '',
        now() - make_interval(secs => %(priority_seconds)s::int), '', coalesce(fence, 0), 0, 0, 0, error_code,
        error_detail, now(), CASE WHEN state = 'ready' THEN now() END,
        coalesce(started_at, CASE WHEN fence > 0 THEN now() END),
        coalesce(finished_at, CASE WHEN fence > 0 OR state = 'skipped' THEN now() END),
        now() + make_interval(secs => seconds),
        CASE WHEN taken IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(taken)) END
    FROM rows
), step_body AS (
    INSERT INTO tasks_stepbody (step_id, input, output, writes) SELECT id, input, output, writes FROM rows
), event AS (
    INSERT INTO tasks_event (run_id, seq, type, step_id, payload, at)
    SELECT %(run)s::text, e.n, e.value->>'type', e.value->>'step_id', e.value->'payload', now()
    FROM jsonb_array_elements(%(events)s) WITH ORDINALITY AS e(value, n)
)
"""

_ATTACH = "UPDATE tasks_task SET run_id = %(run)s::text WHERE id = %(task)s::text"

#: A task that is not started.
NEW_TASK = Statement(_NEW_TASK)

#: A task and its first run.
NEW_TASK_AND_RUN = Statement(_START + _NEW_TASK)

#: A run of a task that is there.
NEW_RUN = Statement(_START + _ATTACH)

#: A run of a workflow.
NEW_WORKFLOW_RUN = Statement(_START + "SELECT 1")
