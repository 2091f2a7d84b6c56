"""Taking steps from the queue, and what their executors need."""

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
       s.crashes, s.tries, s.parents, b.input, b.context, r.network_id, r.max_iterations, r.snapshot_id,
       rb.input AS run_input,
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

RESULTS = """
SELECT s.key, s.agent_id, b.input->>'description' AS description, s.state, s.required, b.output, s.error_detail
FROM tasks_step s JOIN tasks_stepbody b ON b.step_id = s.id
WHERE s.run_id = %(run)s AND s.kind = 'delegate' AND s.state IN ('succeeded', 'failed', 'cancelled', 'skipped')
ORDER BY s.round, s.id
"""

LOST_STEPS = """
SELECT i.id FROM jsonb_to_recordset(%(held)s) AS i(id text, fence int)
LEFT JOIN tasks_step s ON s.id = i.id
WHERE s.id IS NULL OR s.state <> 'running' OR s.fence <> i.fence OR s.owner <> %(owner)s
"""
