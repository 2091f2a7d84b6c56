"""The statements that write calls down, a batch of rows each, given as JSON. Times come with the rows."""

XACT_ID = "SELECT pg_current_xact_id()::text"
XACT_STATUS = "SELECT pg_xact_status(%s::xid8)"

# A call's row is locked by its update, so several processes may add to one log without a gap.
EVENTS = """
WITH rows AS (
    SELECT call, type, coalesce(payload, '{}') AS payload, at,
        row_number() OVER (PARTITION BY call ORDER BY n) AS place
    FROM jsonb_to_recordset(%s) AS r(n int, call text, type text, payload jsonb, at timestamptz)
), counts AS (
    SELECT call, count(*) AS events FROM rows GROUP BY call
), calls AS (
    UPDATE voice_phonecall c SET event_seq = c.event_seq + counts.events
    FROM counts WHERE c.id = counts.call RETURNING c.id, c.event_seq - counts.events AS before
)
INSERT INTO voice_callevent (call_id, seq, type, payload, at)
SELECT calls.id, calls.before + rows.place, left(rows.type, 40), rows.payload, rows.at
FROM rows JOIN calls ON calls.id = rows.call
"""

TURNS = """
WITH rows AS (
    SELECT DISTINCT ON (r.call, r.number) r.* FROM jsonb_to_recordset(%s) AS r(n int, call text, number int,
        caller_text text, reply_text text, heard_text text, interrupted bool, speculative bool, note bool,
        latencies jsonb, stt text, tts text, model text, cost numeric, config_version int, error text,
        started_at timestamptz)
    JOIN voice_phonecall c ON c.id = r.call
    ORDER BY r.call, r.number, r.n DESC
), calls AS (
    UPDATE voice_phonecall c
    SET turn_count = greatest(c.turn_count, news.number), interruptions = c.interruptions + news.interrupted
    FROM (SELECT call, max(number) AS number, count(*) FILTER (WHERE interrupted) AS interrupted
          FROM rows GROUP BY call) AS news
    WHERE c.id = news.call
)
INSERT INTO voice_turn (call_id, number, caller_text, reply_text, heard_text, interrupted, speculative, note,
    latencies, stt, tts, model, cost, config_version, error, started_at)
SELECT call, number, caller_text, reply_text, heard_text, interrupted, speculative, note, latencies,
    left(stt, 30), left(tts, 30), left(model, 100), cost, config_version, left(error, 500), started_at
FROM rows
ON CONFLICT (call_id, number) DO UPDATE SET
    caller_text = excluded.caller_text, reply_text = excluded.reply_text, heard_text = excluded.heard_text,
    interrupted = excluded.interrupted, speculative = excluded.speculative, latencies = excluded.latencies,
    stt = excluded.stt, tts = excluded.tts, model = excluded.model, cost = excluded.cost, error = excluded.error
"""

BEGINS = """
INSERT INTO agents_modelcall (id, project_id, network_id, agent_id, call_id, turn, try_number, chain_pass, owner,
    state, provider, model, requested_model, failure, message, input_tokens, output_tokens, cached_tokens,
    reserved, cost, provider_request_id, speculative, started_at)
SELECT id, project, network, agent, nullif(call, ''), turn, try, 0, left(owner, 40), 'started', provider,
    left(model, 100), left(requested, 100), '', '', 0, 0, 0, reserved, 0, '', speculative, started_at
FROM jsonb_to_recordset(%s) AS r(id text, project text, network text, agent text, call text, turn int, try int,
    owner text, provider text, model text, requested text, reserved numeric, speculative bool,
    started_at timestamptz)
ON CONFLICT (id) DO NOTHING
"""

SETTLEMENTS = """
UPDATE agents_modelcall c
SET state = r.state, failure = r.failure, message = left(r.message, 500), http_status = r.status,
    input_tokens = r.input_tokens, output_tokens = r.output_tokens, cached_tokens = r.cached_tokens,
    cost = r.cost, reserved = 0, latency_ms = r.latency_ms, first_token_ms = r.first_token_ms,
    provider_request_id = left(r.request_id, 100), finished_at = r.finished_at
FROM jsonb_to_recordset(%s) AS r(id text, state text, failure text, message text, status int, input_tokens int,
    output_tokens int, cached_tokens int, cost numeric, latency_ms float, first_token_ms float, request_id text,
    finished_at timestamptz)
WHERE c.id = r.id AND c.state IN ('started', 'unknown')
"""

KEPT = """
UPDATE agents_modelcall SET speculative = false
WHERE id IN (SELECT id FROM jsonb_to_recordset(%s) AS r(id text))
"""

RECORDINGS = """
UPDATE voice_phonecall c SET recording = left(r.place, 300)
FROM jsonb_to_recordset(%s) AS r(call text, place text) WHERE c.id = r.call
"""

SUMMARIES = """
UPDATE voice_phonecall c
SET state = 'ended', end_reason = left(r.reason, 30), error = left(r.error, 500), ended_at = r.ended_at,
    reserved_until = NULL, turn_count = r.turns, interruptions = r.interruptions,
    false_interruptions = r.false_interruptions, mos = r.mos, statistics = r.statistics, use = r.use
FROM jsonb_to_recordset(%s) AS r(call text, reason text, error text, ended_at timestamptz, turns int,
    interruptions int, false_interruptions int, mos float, statistics jsonb, use jsonb)
WHERE c.id = r.call
"""

# Percentiles by the nearest rank, of all turns: a process that kept them itself would grow with its calls.
LATENCIES = """
UPDATE voice_phonecall c SET latencies = coalesce((
    SELECT jsonb_object_agg(stage, told) FROM (
        SELECT key AS stage, jsonb_build_object(
            'p50', percentile_disc(0.50) WITHIN GROUP (ORDER BY value::numeric),
            'p95', percentile_disc(0.95) WITHIN GROUP (ORDER BY value::numeric),
            'p99', percentile_disc(0.99) WITHIN GROUP (ORDER BY value::numeric)) AS told
        FROM voice_turn t, jsonb_each(t.latencies) WHERE t.call_id = c.id GROUP BY key
    ) AS stages
), '{}')
WHERE c.id IN (SELECT call FROM jsonb_to_recordset(%s) AS r(call text))
"""

# A call costs what its speech services and its model calls do; what speculation spent is in it.
COSTS = """
UPDATE voice_phonecall c
SET cost = coalesce((SELECT sum(m.cost) FROM agents_modelcall m WHERE m.call_id = c.id), 0)
    + coalesce((SELECT sum((u->>'cost')::numeric) FROM jsonb_array_elements(c.use) AS u), 0)
WHERE c.id IN (SELECT call FROM jsonb_to_recordset(%s) AS r(call text))
"""

# Calls that ended with their process: the log gets its last line, once, from whoever comes first.
TELL_LOST = """
WITH lost AS (
    SELECT id, event_seq, coalesce(ended_at, now()) AS at FROM voice_phonecall c
    WHERE state = 'ended' AND end_reason = 'worker_lost' AND ended_at > now() - interval '1 day'
      AND NOT EXISTS (SELECT 1 FROM voice_callevent e WHERE e.call_id = c.id AND e.type = 'call.ended')
    ORDER BY id FOR UPDATE SKIP LOCKED
), told AS (
    INSERT INTO voice_callevent (call_id, seq, type, payload, at)
    SELECT id, event_seq + 1, 'call.ended', '{"reason": "worker_lost"}', at FROM lost
)
UPDATE voice_phonecall c SET event_seq = c.event_seq + 1 FROM lost WHERE c.id = lost.id
RETURNING c.id
"""

# What they cost is not known: the estimate stands. Answers without a call are given far less time than this.
SETTLE_LOST = """
UPDATE agents_modelcall m
SET state = 'unknown', cost = m.reserved, reserved = 0, finished_at = now(),
    message = 'Its voice process died before the reply came.'
WHERE m.state = 'started' AND m.run_id IS NULL AND (
    m.started_at < now() - interval '15 minutes'
    OR EXISTS (SELECT 1 FROM voice_phonecall c
               WHERE c.id = m.call_id AND c.state = 'ended' AND c.end_reason = 'worker_lost')
)
RETURNING m.call_id
"""
