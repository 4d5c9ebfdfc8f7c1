-- Every statement of the store. `-- name:` begins one; {rows} stands for as many rows of placeholders as are written at
-- once, {keys} for as many single placeholders. After a name: the number of columns of a row, and those among them in
-- which an empty blob stands for NULL.

-- The fence of owned writes: only rows that still look as the writer believes are changed, and they are counted.
-- Columns: 1 run, 2 owner, 3 epoch, 4 head before, 5 head after, 6 status, 7 execution, 8 at_ms. Does not touch any index.
-- name: advance_runs (8)
UPDATE runs SET
  status = new.column6,
  execution = new.column7,
  head = coalesce(new.column5, runs.head),
  updated_at_ms = coalesce(new.column8, runs.updated_at_ms)
FROM (VALUES {rows}) AS new
WHERE runs.key = new.column1
  AND +runs.owner = new.column2
  AND runs.epoch = new.column3
  AND (new.column4 IS NULL OR runs.head = new.column4)

-- As advance_runs, and the owner lets go. 9 ready_at_ms, 10 the inbox rows that this write takes or has seen, as ",1,2,": if others
-- wait, the run is claimable from the time the first of them was posted.
-- name: release_runs (10; NULL: 9)
UPDATE runs SET
  status = new.column6,
  execution = new.column7,
  head = coalesce(new.column5, runs.head),
  updated_at_ms = coalesce(new.column8, runs.updated_at_ms),
  owner = NULL,
  ready_at_ms = coalesce(
    (
      SELECT min(inbox.at_ms, coalesce(new.column9, inbox.at_ms))
      FROM inbox
      WHERE inbox.run_key = new.column1 AND inbox.taken = 0 AND instr(new.column10, ',' || inbox.key || ',') = 0
      ORDER BY inbox.at_ms
      LIMIT 1
    ),
    new.column9
  )
FROM (VALUES {rows}) AS new
WHERE runs.key = new.column1
  AND +runs.owner = new.column2
  AND runs.epoch = new.column3
  AND (new.column4 IS NULL OR runs.head = new.column4)

-- The same two for one row, which is what a lone run writes: a table of values costs more than the update itself.
-- Values: 5 to 8 of the columns above (for release_run also ready_at_ms, the inbox rows, ready_at_ms again), then 1 to 4.
-- name: advance_run
UPDATE runs SET
  head = coalesce(?, head),
  status = ?,
  execution = ?,
  updated_at_ms = coalesce(?, updated_at_ms)
WHERE key = ? AND +owner = ? AND epoch = ? AND head = coalesce(?, head)

-- name: release_run
UPDATE runs SET
  head = coalesce(?, head),
  status = ?,
  execution = ?,
  updated_at_ms = coalesce(?, updated_at_ms),
  owner = NULL,
  ready_at_ms = coalesce(
    (
      SELECT min(min(inbox.at_ms, coalesce(nullif(?, x''), inbox.at_ms)))
      FROM inbox
      WHERE inbox.run_key = runs.key AND inbox.taken = 0 AND instr(?, ',' || inbox.key || ',') = 0
    ),
    nullif(?, x'')
  )
WHERE key = ? AND +owner = ? AND epoch = ? AND head = coalesce(?, head)

-- name: insert_events (10; NULL: 9 10)
INSERT INTO events (run_key, seq, execution, type, v, at_ms, path, attempt, body, payload)
VALUES {rows}

-- name: insert_stream_events (10; NULL: 9 10)
INSERT INTO stream_events (run_key, seq, execution, type, v, at_ms, path, attempt, body, payload)
VALUES {rows}

-- name: take_inbox
UPDATE inbox SET taken = 1 WHERE key IN ({keys})

-- name: hold_run
INSERT OR REPLACE INTO holds (run_key, epoch, head, reason) SELECT key, epoch, head, ? FROM runs WHERE key = ?

-- name: find_hold
SELECT holds.reason FROM holds JOIN runs ON runs.key = holds.run_key
WHERE holds.run_key = ? AND holds.epoch = runs.epoch AND holds.head = runs.head

-- name: select_heads
SELECT key, owner, epoch, head FROM runs WHERE key IN ({keys})

-- Changes when another connection commits; far cheaper than asking for what may have changed.
-- name: data_version
PRAGMA data_version

-- Before inserts: the largest number in use, and until when who is alive, as "1 300,2 500".
-- name: before_inserts
SELECT
  (SELECT coalesce(max(key), 0) FROM runs),
  (SELECT group_concat(key || ' ' || lease_until_ns) FROM workers WHERE boot_id = ?)

-- name: insert_runs (13; NULL: 5 9 11)
INSERT INTO runs (
  key, run_id, workflow_id, graph, resource_id, status, execution, epoch, owner, head, ready_at_ms, created_at_ms,
  updated_at_ms
)
VALUES {rows}
ON CONFLICT (run_id) DO NOTHING

-- name: insert_tags (2)
INSERT INTO run_tags (run_key, tag) VALUES {rows}

-- name: insert_start_deadlines (3)
INSERT INTO start_deadlines (due_at_ms, run_key, head) VALUES {rows}

-- name: next_start_by
SELECT min(due_at_ms) FROM start_deadlines

-- name: forget_begun
DELETE FROM start_deadlines
WHERE due_at_ms <= ?
  AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.key = start_deadlines.run_key AND runs.head = start_deadlines.head)

-- name: select_late_starts
SELECT runs.run_id
FROM start_deadlines JOIN runs ON runs.key = start_deadlines.run_key
WHERE start_deadlines.due_at_ms <= ? AND runs.owner IS NULL
ORDER BY start_deadlines.due_at_ms, start_deadlines.run_key
LIMIT ?

-- name: select_runs_over
SELECT key FROM runs WHERE key > ?

-- name: is_inserted
SELECT 1 FROM runs WHERE run_id = ? AND key = ? AND created_at_ms = ? AND graph = ?

-- name: select_head
SELECT epoch, head FROM runs WHERE key = ?

-- name: find_identity
SELECT runs.run_id, runs.status, runs.execution, identity_keys.input_hash, identity_keys.expires_at_ms
FROM identity_keys JOIN runs ON runs.key = identity_keys.run_key
WHERE identity_keys.scope = ? AND identity_keys.key = ?

-- name: hold_identity
INSERT INTO identity_keys (scope, key, run_key, input_hash, expires_at_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (scope, key) DO UPDATE SET
  run_key = excluded.run_key, input_hash = excluded.input_hash, expires_at_ms = excluded.expires_at_ms

-- name: find_run
SELECT key, run_id, workflow_id, graph, resource_id, status, execution, epoch, owner, head, ready_at_ms, created_at_ms,
       updated_at_ms, EXISTS (SELECT 1 FROM flows WHERE run_key = runs.key)
FROM runs WHERE run_id = ? AND status <> 'deleted'

-- name: summarize_run
SELECT key, run_id, workflow_id, resource_id, status, execution, created_at_ms, updated_at_ms,
       (SELECT group_concat(tag, char(10)) FROM run_tags WHERE run_key = runs.key)
FROM runs WHERE run_id = ? AND status <> 'deleted'

-- name: summarize_runs
SELECT key, run_id, workflow_id, resource_id, status, execution, created_at_ms, updated_at_ms,
       (SELECT group_concat(tag, char(10)) FROM run_tags WHERE run_key = runs.key)
FROM runs WHERE key IN ({keys})

-- Conditions of lists, put together as they are needed.
-- name: is_kept
status <> 'deleted'

-- name: has_tag
key IN (SELECT run_key FROM run_tags WHERE tag = ?)

-- From the text up to the text with the last of all characters behind it: LIKE and GLOB give some characters a meaning.
-- The plus signs keep to the scan: where many runs begin alike, it has enough long before an index is read to its end.
-- name: begins_with
(
  (+run_id >= ? AND +run_id < ?)
  OR (+resource_id >= ? AND +resource_id < ?)
  OR key IN (SELECT run_key FROM run_tags WHERE tag >= ? AND tag < ?)
)

-- The same where few do, through the indexes.
-- name: is_one_of_few
key IN (
  SELECT key FROM runs WHERE run_id >= ? AND run_id < ?
  UNION ALL SELECT key FROM runs WHERE resource_id >= ? AND resource_id < ?
  UNION ALL SELECT run_key FROM run_tags WHERE tag >= ? AND tag < ?
)

-- How many those are, at most as many as the last value says.
-- name: count_few
SELECT count(*) FROM (
  SELECT 1 FROM runs WHERE run_id >= ? AND run_id < ?
  UNION ALL SELECT 1 FROM runs WHERE resource_id >= ? AND resource_id < ?
  UNION ALL SELECT 1 FROM run_tags WHERE tag >= ? AND tag < ?
  LIMIT ?
)

-- name: count_runs
SELECT workflow_id, status, count(*) FROM runs
WHERE status <> 'deleted' AND workflow_id = coalesce(?, workflow_id) GROUP BY workflow_id, status ORDER BY workflow_id, status

-- name: count_in_flight
SELECT graph, count(*) FROM runs WHERE status NOT IN ('success', 'failed', 'canceled', 'deleted')
GROUP BY graph ORDER BY graph

-- Values: now and the most that is counted; then now. In the index what is ready comes first.
-- name: measure_queue
SELECT workflow_id, sum(runs), min(ready_at_ms) FROM (
  SELECT
    workflow_id,
    (
      SELECT count(*) FROM (
        SELECT 1 FROM runs
        WHERE graph = graphs.key AND lane IS NULL AND owner IS NULL AND ready_at_ms <= ? LIMIT ?
      )
    ) AS runs,
    (
      SELECT min(ready_at_ms) FROM runs
      WHERE graph = graphs.key AND lane IS NULL AND owner IS NULL AND ready_at_ms <= ?
    ) AS ready_at_ms
  FROM graphs
) WHERE runs > 0 GROUP BY workflow_id

-- The same for those under flow control. Values: the most that is looked at, now.
-- name: measure_lanes
SELECT graphs.workflow_id, sum(waiting.runs), min(waiting.ready_at_ms)
FROM (
  SELECT lane, count(*) AS runs, min(ready_at_ms) AS ready_at_ms
  FROM (SELECT lane, ready_at_ms FROM runs WHERE lane >= 0 AND owner IS NULL AND ready_at_ms IS NOT NULL LIMIT ?)
  WHERE ready_at_ms <= ? GROUP BY lane
) AS waiting
JOIN lanes ON lanes.key = waiting.lane
JOIN lines ON lines.key = lanes.line
JOIN graphs ON graphs.key = lines.graph
GROUP BY graphs.workflow_id

-- Values: run, after, until for each table, then the limit. Both are in order, so that only what is asked for is read.
-- name: load_records
SELECT seq, execution, 1, type, v, at_ms, path, attempt, body, payload
FROM events WHERE run_key = ? AND seq > ? AND seq <= ?
UNION ALL
SELECT seq, execution, 0, type, v, at_ms, path, attempt, body, payload
FROM stream_events WHERE run_key = ? AND seq > ? AND seq <= ?
ORDER BY 1 LIMIT ?

-- name: load_facts
SELECT seq, execution, 1, type, v, at_ms, path, attempt, body, payload
FROM events WHERE run_key = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?

-- name: load_heads
SELECT key, head, status FROM runs WHERE status <> 'deleted' AND key IN ({keys})

-- name: load_journals
SELECT run_key, seq, execution, 1, type, v, at_ms, path, attempt, body, payload
FROM events WHERE run_key IN ({keys}) ORDER BY run_key, seq

-- name: find_graph
SELECT key FROM graphs WHERE workflow_id = ? AND fingerprint = ?

-- name: insert_graph
INSERT INTO graphs (workflow_id, fingerprint, document) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- name: load_graph
SELECT document FROM graphs WHERE key = ?

-- name: list_graphs
SELECT key, workflow_id, fingerprint FROM graphs WHERE key > ? ORDER BY key

-- name: find_run_key
SELECT key, owner, lane, execution FROM runs WHERE run_id = ? AND status <> 'deleted'

-- name: post
INSERT INTO inbox (run_key, topic, kind, at_ms, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (run_key, topic) DO NOTHING

-- name: wake_run
UPDATE runs SET ready_at_ms = min(coalesce(ready_at_ms, ?), ?) WHERE key = ? AND owner IS NULL

-- name: is_posted
SELECT 1 FROM inbox WHERE run_key = ? AND topic = ? AND kind = ? AND at_ms = ? AND body = ?

-- The requests not taken yet are few: the plan begins with them, not with the runs of the worker.
-- name: list_inbox
SELECT inbox.key, inbox.run_key, inbox.kind, inbox.topic, inbox.at_ms, inbox.body
FROM inbox CROSS JOIN runs ON runs.key = inbox.run_key
WHERE inbox.taken = 0 AND +runs.owner = ?
ORDER BY inbox.key

-- name: list_requests
SELECT key, run_key, kind, topic, at_ms, body FROM inbox WHERE run_key = ? AND taken = 0 ORDER BY key

-- As list_inbox, the plan begins with the requests.
-- name: list_left_cancels
SELECT DISTINCT runs.run_id
FROM inbox CROSS JOIN runs ON runs.key = inbox.run_key
WHERE inbox.taken = 0 AND inbox.kind = 'cancel' AND runs.owner IS NULL

-- Only a run that nobody owns and that is as it was read.
-- name: end_run
UPDATE runs SET head = ?, status = ?, updated_at_ms = ?, ready_at_ms = NULL, lane = NULL
WHERE key = ? AND owner IS NULL AND epoch = ? AND head = ?

-- name: is_ended
SELECT 1 FROM runs WHERE key = ? AND owner IS NULL AND epoch = ? AND head = ? AND status = ?

-- Only a run that rests as it was read, and of which nothing else is asked.
-- name: reopen_run
UPDATE runs SET head = ?, status = ?, execution = ?, updated_at_ms = ?, ready_at_ms = ?
WHERE key = ? AND owner IS NULL AND head = ?
  AND NOT EXISTS (SELECT 1 FROM inbox WHERE run_key = runs.key AND taken = 0)

-- name: is_recorded
SELECT 1 FROM events WHERE run_key = ? AND seq = ? AND type = ? AND at_ms = ? AND body IS ?

-- The first few of each graph by its index, then the first of them all. The last column tells whether to look at lanes.
-- name: select_claimable
SELECT ready.key, ready.run_id, ready.workflow_id, ready.graph, ready.resource_id, ready.epoch, ready.crashed, ready.head,
       EXISTS (SELECT 1 FROM flows WHERE run_key = ready.key), EXISTS (SELECT 1 FROM lanes)
FROM (VALUES {rows}) AS wanted
JOIN runs AS ready ON ready.key IN (
  SELECT key FROM runs
  WHERE graph = wanted.column1 AND lane IS NULL AND owner IS NULL AND ready_at_ms <= ?
  ORDER BY ready_at_ms
  LIMIT ?
)
WHERE EXISTS (SELECT 1 FROM workers WHERE key = ? AND boot_id = ? AND lease_until_ns > ?)
ORDER BY ready.ready_at_ms, ready.key
LIMIT ?

-- name: claim_runs
UPDATE runs SET owner = ?, epoch = epoch + 1, ready_at_ms = NULL, crashed = 0, lane = NULL
WHERE owner IS NULL AND key IN ({keys})

-- name: is_claimed
SELECT 1 FROM runs WHERE key = ? AND owner = ? AND epoch = ?

-- name: unclaim_runs
UPDATE runs SET owner = NULL, ready_at_ms = updated_at_ms, crashed = ? WHERE owner = ? AND key IN ({keys})

-- name: next_ready_at
SELECT min((
  SELECT min(ready_at_ms) FROM runs
  WHERE graph = wanted.column1 AND lane IS NULL AND owner IS NULL AND ready_at_ms IS NOT NULL
)), EXISTS (SELECT 1 FROM lanes)
FROM (VALUES {rows}) AS wanted

-- name: register_worker
INSERT INTO workers (incarnation, pid, boot_id, lease_until_ns, workflows, graphs) VALUES (?, ?, ?, ?, ?, ?)

-- name: find_worker
SELECT key FROM workers WHERE incarnation = ?

-- name: renew_lease
UPDATE workers SET lease_until_ns = ? WHERE key = ?

-- name: read_lease
SELECT lease_until_ns FROM workers WHERE key = ?

-- name: list_workers
SELECT key, incarnation, pid, boot_id, lease_until_ns, workflows, graphs FROM workers ORDER BY key

-- name: free_runs_of_retired
UPDATE runs SET owner = NULL, ready_at_ms = updated_at_ms WHERE owner = ?

-- name: free_runs_of_dead
UPDATE runs SET owner = NULL, ready_at_ms = ?, crashed = ? WHERE owner = ?

-- name: delete_worker
DELETE FROM workers WHERE key = ?

-- The lease is compared: a worker that renewed it since it was found to be over is alive.
-- name: delete_dead_worker
DELETE FROM workers WHERE key = ? AND lease_until_ns = ?

-- The graph is that of the run, so that the writer need not know it. CROSS JOIN keeps the order of the rows.
-- name: insert_deliveries (5)
INSERT INTO outbox (run_key, graph, execution, seq, kind, due_at_ms)
SELECT runs.key, runs.graph, new.column2, new.column3, new.column4, new.column5
FROM (VALUES {rows}) AS new CROSS JOIN runs ON runs.key = new.column1

-- Of each run only the first due row: the later ones wait for it, whoever delivers it.
-- name: select_deliverable
SELECT ready.key, ready.run_key, runs.run_id, runs.workflow_id, ready.graph, runs.resource_id, runs.created_at_ms,
       ready.kind, ready.seq, ready.execution, ready.tries, ready.tries > 0 AND ready.failure IS NULL
FROM (VALUES {rows}) AS wanted
JOIN outbox AS ready ON ready.key IN (
  SELECT due.key FROM outbox AS due
  WHERE due.graph = wanted.column1 AND due.owner IS NULL AND due.due_at_ms <= ?
    AND NOT EXISTS (
      SELECT 1 FROM outbox AS before
      WHERE before.run_key = due.run_key AND before.key < due.key AND before.due_at_ms IS NOT NULL
    )
  ORDER BY due.due_at_ms
  LIMIT ?
)
JOIN runs ON runs.key = ready.run_key
WHERE EXISTS (SELECT 1 FROM workers WHERE key = ? AND boot_id = ? AND lease_until_ns > ?)
ORDER BY ready.due_at_ms, ready.key
LIMIT ?

-- name: claim_deliveries
UPDATE outbox SET owner = ?, tries = tries + 1 WHERE owner IS NULL AND key IN ({keys})

-- name: is_delivery_claimed
SELECT 1 FROM outbox WHERE key = ? AND owner = ? AND tries = ?

-- name: unclaim_deliveries
UPDATE outbox SET owner = NULL WHERE owner = ? AND key IN ({keys})

-- Without a failure, those that were tried are known to be lost.
-- name: free_deliveries
UPDATE outbox SET owner = NULL, failure = NULL WHERE owner = ?

-- name: count_owned_deliveries
SELECT count(*), total(tries > 1 AND failure IS NULL) > 0 FROM outbox WHERE owner = ?

-- name: delete_delivery
DELETE FROM outbox WHERE key = ? AND owner = ?

-- name: postpone_delivery
UPDATE outbox SET owner = NULL, failure = ?, due_at_ms = ? WHERE key = ? AND owner = ?

-- name: list_deliveries
SELECT key, kind, seq, execution, tries, due_at_ms, owner, failure FROM outbox WHERE run_key = ? ORDER BY key

-- name: next_delivery_at
SELECT min((
  SELECT due.due_at_ms FROM outbox AS due
  WHERE due.graph = wanted.column1 AND due.owner IS NULL AND due.due_at_ms IS NOT NULL
    AND NOT EXISTS (
      SELECT 1 FROM outbox AS before
      WHERE before.run_key = due.run_key AND before.key < due.key AND before.due_at_ms IS NOT NULL
    )
  ORDER BY due.due_at_ms
  LIMIT 1
))
FROM (VALUES {rows}) AS wanted
-- A run may be deleted once it has ended and nothing is left to be done about it.
-- name: select_deletable
SELECT key, status, head, owner IS NOT NULL OR ready_at_ms IS NOT NULL,
       EXISTS (SELECT 1 FROM outbox WHERE run_key = runs.key AND due_at_ms IS NOT NULL)
FROM runs WHERE run_id = ? AND status <> 'deleted'

-- From the oldest run on, without an index: a sweep ends where it finds nothing more. Values: after which key, ended before,
-- now, deleted before, how many.
-- name: select_sweepable
SELECT key, head, status FROM runs
WHERE key > ? AND (
  (
    status IN ('success', 'failed', 'canceled') AND updated_at_ms < ? AND owner IS NULL AND ready_at_ms IS NULL
    AND NOT EXISTS (SELECT 1 FROM identity_keys WHERE run_key = runs.key AND expires_at_ms > ?)
    AND NOT EXISTS (SELECT 1 FROM outbox WHERE run_key = runs.key AND due_at_ms IS NOT NULL)
  )
  OR (status = 'deleted' AND (head > 0 OR updated_at_ms < ?))
)
ORDER BY key LIMIT ?

-- name: recheck_sweepable
SELECT key FROM runs
WHERE status IN ('success', 'failed', 'canceled') AND updated_at_ms < ? AND owner IS NULL AND ready_at_ms IS NULL
  AND NOT EXISTS (SELECT 1 FROM identity_keys WHERE run_key = runs.key AND expires_at_ms > ?)
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE run_key = runs.key AND due_at_ms IS NOT NULL)
  AND key IN ({keys})
ORDER BY key

-- The epoch rises, so that whoever still held the run can write nothing.
-- name: strip_runs
UPDATE runs SET status = 'deleted', workflow_id = '', graph = 0, resource_id = NULL, epoch = epoch + 1, updated_at_ms = ?
WHERE key IN ({keys})

-- name: shorten_runs
UPDATE runs SET head = ? WHERE key IN ({keys})

-- name: drop_events
DELETE FROM events WHERE seq > ? AND run_key IN ({keys})

-- name: drop_stream_events
DELETE FROM stream_events WHERE seq > ? AND run_key IN ({keys})

-- Runs that nobody owns and to which nothing has happened for some time, and in which something was said that is still
-- kept. It goes from run to run in the table of what was said, and passes over the runs that say nothing.
-- Values: after which key, since when, how many.
-- name: select_talkative
WITH RECURSIVE talkative (key) AS (
  SELECT min(run_key) FROM stream_events WHERE run_key > ?
  UNION ALL
  SELECT (SELECT min(run_key) FROM stream_events WHERE run_key > talkative.key) FROM talkative WHERE talkative.key IS NOT NULL
)
SELECT runs.key FROM talkative CROSS JOIN runs ON runs.key = talkative.key
WHERE runs.owner IS NULL AND runs.updated_at_ms < ? AND runs.status <> 'deleted'
  AND EXISTS (SELECT 1 FROM stream_events WHERE run_key = runs.key AND type <> 'entries-removed')
LIMIT ?

-- name: measure_said
SELECT seq, type, coalesce(length(body), 0) + coalesce(length(payload), 0) FROM stream_events
WHERE run_key = ? ORDER BY seq LIMIT ?

-- name: is_silent
SELECT 1 FROM runs WHERE key = ? AND owner IS NULL AND updated_at_ms < ? AND status <> 'deleted'

-- name: drop_said
DELETE FROM stream_events WHERE run_key = ? AND seq < ?

-- name: select_said
SELECT seq, execution, at_ms FROM stream_events WHERE run_key = ? AND seq = ?

-- name: replace_said
UPDATE stream_events SET type = ?, v = ?, path = ?, attempt = ?, body = ?, payload = ? WHERE run_key = ? AND seq = ?

-- name: drop_inbox
DELETE FROM inbox WHERE run_key IN ({keys})

-- name: drop_tags
DELETE FROM run_tags WHERE run_key IN ({keys})

-- name: drop_start_deadlines
DELETE FROM start_deadlines WHERE run_key IN ({keys})

-- name: drop_holds
DELETE FROM holds WHERE run_key IN ({keys})

-- name: drop_outbox
DELETE FROM outbox WHERE run_key IN ({keys})

-- name: drop_identities
DELETE FROM identity_keys WHERE run_key IN ({keys})

-- name: forget_runs
DELETE FROM runs WHERE status = 'deleted' AND key IN ({keys})

-- name: insert_schedule
INSERT INTO schedules (
  id, version, workflow_id, declared, status, due_at_ms, waiting, plan, memory, last_number, created_at_ms, updated_at_ms
)
VALUES (?, 1, ?, ?, ?, ?, 0, ?, ?, 0, ?, ?) ON CONFLICT (id) DO NOTHING

-- name: find_schedule
SELECT key, version, id, workflow_id, declared, status, due_at_ms, waiting, plan, memory, last_number, created_at_ms,
       updated_at_ms
FROM schedules WHERE id = ?

-- name: list_schedules
SELECT key, version, id, workflow_id, declared, status, due_at_ms, waiting, plan, memory, last_number, created_at_ms,
       updated_at_ms
FROM schedules
WHERE workflow_id = coalesce(?, workflow_id) AND status = coalesce(?, status)
  AND declared = coalesce(?, declared) AND id > ?
ORDER BY id LIMIT ?

-- The claim: only a schedule that is as it was read. Values: status, due, waiting, plan or NULL, memory, last number,
-- when it was edited or NULL; key, version.
-- name: change_schedule
UPDATE schedules SET
  version = version + 1,
  status = ?,
  due_at_ms = ?,
  waiting = ?,
  plan = coalesce(?, plan),
  memory = ?,
  last_number = max(last_number, ?),
  updated_at_ms = coalesce(?, updated_at_ms)
WHERE key = ? AND version = ?
RETURNING id, last_number

-- name: put_trigger
INSERT OR REPLACE INTO triggers (
  schedule, number, kind, scheduled_at_ms, until_ms, count, at_ms, outcome, run_id, reason
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_old_triggers
DELETE FROM triggers WHERE schedule = ? AND number <= ?

-- name: delete_schedule
DELETE FROM schedules WHERE id = ? RETURNING key

-- name: delete_triggers
DELETE FROM triggers WHERE schedule = ?

-- name: find_cancelable
SELECT status, execution FROM runs WHERE run_id = ? AND status <> 'deleted'

-- name: next_schedule_due
SELECT
  min((SELECT min(due_at_ms) FROM schedules WHERE workflow_id = wanted.column1 AND due_at_ms IS NOT NULL)),
  max(EXISTS (SELECT 1 FROM schedules WHERE workflow_id = wanted.column1 AND waiting = 1))
FROM (VALUES {rows}) AS wanted

-- name: list_due_schedules
SELECT due.key, due.version, due.id, due.workflow_id, due.declared, due.status, due.due_at_ms, due.waiting, due.plan,
       due.memory, due.last_number, due.created_at_ms, due.updated_at_ms
FROM (VALUES {rows}) AS wanted
JOIN schedules AS due ON due.key IN (
  SELECT key FROM schedules WHERE workflow_id = wanted.column1 AND due_at_ms <= ? ORDER BY due_at_ms LIMIT ?
)
ORDER BY due.due_at_ms, due.key LIMIT ?

-- name: list_waiting_schedules
SELECT waits.key, waits.version, waits.id, waits.workflow_id, waits.declared, waits.status, waits.due_at_ms,
       waits.waiting, waits.plan, waits.memory, waits.last_number, waits.created_at_ms, waits.updated_at_ms
FROM (VALUES {rows}) AS wanted
JOIN schedules AS waits ON waits.key IN (
  SELECT key FROM schedules WHERE workflow_id = wanted.column1 AND waiting = 1 AND key > ? ORDER BY key LIMIT ?
)
ORDER BY waits.key LIMIT ?

-- name: list_triggers
SELECT number, kind, scheduled_at_ms, until_ms, count, at_ms, outcome, run_id, reason
FROM triggers
WHERE schedule = ? AND number < ? AND at_ms >= ? AND at_ms <= ?
ORDER BY number DESC LIMIT ?

-- name: drop_flows
DELETE FROM flows WHERE run_key IN ({keys})

-- Flow control: see storage/flow.py. A run that waits for its limits is recorded with its lane at once.
-- name: insert_limited_runs (14; NULL: 5 9 11)
INSERT INTO runs (
  key, run_id, workflow_id, graph, resource_id, status, execution, epoch, owner, head, ready_at_ms, created_at_ms,
  updated_at_ms, lane
)
VALUES {rows}
ON CONFLICT (run_id) DO NOTHING

-- name: insert_flow
INSERT INTO flows (run_key, priority, gates) VALUES (?, ?, ?)

-- name: select_limits
SELECT name, most, per_ms, burst FROM limits

-- The columns of `select_claimable`.
-- name: select_admitted
SELECT key, run_id, workflow_id, graph, resource_id, epoch, crashed, head, 1, 1 FROM runs WHERE key IN ({keys})

-- name: declare_limit
INSERT INTO limits (name, most, per_ms, burst) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET most = excluded.most, per_ms = excluded.per_ms, burst = excluded.burst
WHERE most IS NOT excluded.most OR per_ms IS NOT excluded.per_ms OR burst IS NOT excluded.burst

-- Whatever they wait for may be there now: somebody looks.
-- name: look_at_lanes
UPDATE lanes SET gate = NULL, due_at_ms = 0, closed_until_ms = 0 WHERE turn IS NULL

-- name: has_lanes
SELECT 1 FROM lanes WHERE EXISTS (SELECT 1 FROM workers WHERE key = ? AND boot_id = ? AND lease_until_ns > ?) LIMIT 1

-- name: find_line
SELECT key FROM lines WHERE graph = ? AND gates = ?

-- name: insert_line
INSERT INTO lines (graph, gates) VALUES (?, ?)

-- name: select_lines
SELECT key, gates FROM lines WHERE graph IN ({keys})

-- A lane in the ring, or behind a gate, stays there.
-- name: enter_lane
INSERT INTO lanes (line, priority, gates, due_at_ms) VALUES (?, ?, ?, ?)
ON CONFLICT (line, priority, gates) DO UPDATE SET due_at_ms = max(closed_until_ms, excluded.due_at_ms)
WHERE turn IS NULL AND due_at_ms > max(closed_until_ms, excluded.due_at_ms)

-- name: find_lane
SELECT key FROM lanes WHERE line = ? AND priority = ? AND gates = ?

-- name: select_flow
SELECT runs.graph, runs.ready_at_ms, flows.priority, flows.gates, flows.begun
FROM flows JOIN runs ON runs.key = flows.run_key WHERE flows.run_key = ?

-- name: find_flow
SELECT priority, gates FROM flows WHERE run_key = ?

-- name: place_run
UPDATE runs SET lane = ? WHERE key = ?

-- name: last_turn
SELECT coalesce(max(turn), 0) FROM lanes WHERE turn IS NOT NULL

-- name: select_due_lanes
SELECT key FROM lanes WHERE line = ? AND turn IS NULL AND due_at_ms <= ? ORDER BY due_at_ms LIMIT ?

-- name: turn_lane
UPDATE lanes SET turn = ? WHERE key = ?

-- name: select_ring
SELECT key, line, priority, turn, gates FROM lanes
WHERE line = ? AND turn IS NOT NULL AND priority BETWEEN ? AND ?
ORDER BY priority DESC, turn LIMIT ?

-- name: select_waiting
SELECT ready_at_ms, key FROM runs
WHERE lane = ? AND owner IS NULL AND ready_at_ms IS NOT NULL ORDER BY ready_at_ms LIMIT ?

-- name: count_slots
SELECT count(*) FROM (SELECT 1 FROM slots WHERE gate = ? LIMIT ?)

-- name: list_holders
SELECT runs.run_id FROM slots JOIN runs ON runs.key = slots.run_key WHERE slots.gate = ? ORDER BY slots.run_key LIMIT ?

-- name: take_slot
INSERT INTO slots (run_key, gate) VALUES (?, ?)

-- name: begin_flow
UPDATE flows SET begun = 1 WHERE run_key = ?

-- name: begin_flow_again
UPDATE flows SET begun = 0 WHERE run_key = ?

-- name: give_slots
DELETE FROM slots WHERE run_key = ? RETURNING gate

-- name: open_lanes
UPDATE lanes SET gate = NULL, due_at_ms = closed_until_ms WHERE gate = ?

-- name: close_lane
UPDATE lanes SET turn = NULL, due_at_ms = NULL, gate = ? WHERE key = ?

-- name: postpone_lane
UPDATE lanes SET turn = NULL, due_at_ms = ?, closed_until_ms = ? WHERE key = ?

-- name: drop_lane
DELETE FROM lanes WHERE key = ?

-- name: find_rate
SELECT theoretical_us FROM rates WHERE gate = ?

-- name: set_rate
INSERT INTO rates (gate, theoretical_us) VALUES (?, ?) ON CONFLICT (gate) DO UPDATE SET theoretical_us = excluded.theoretical_us

-- name: forget_rates
DELETE FROM rates WHERE gate IN (SELECT gate FROM rates WHERE theoretical_us < ? LIMIT 1000)

-- name: next_lane_at
SELECT CASE
  WHEN EXISTS (SELECT 1 FROM lanes WHERE line = lines.key AND turn IS NOT NULL) THEN 0
  ELSE (SELECT min(due_at_ms) FROM lanes WHERE line = lines.key AND turn IS NULL AND due_at_ms IS NOT NULL)
END
FROM lines WHERE key = ?

-- name: find_wait
SELECT runs.lane, runs.ready_at_ms, runs.key, flows.priority, flows.gates, flows.begun, lanes.line
FROM flows JOIN runs ON runs.key = flows.run_key JOIN lanes ON lanes.key = runs.lane
WHERE flows.run_key = ? AND runs.owner IS NULL AND runs.ready_at_ms IS NOT NULL

-- name: count_ahead
SELECT count(*) FROM (
  SELECT 1 FROM runs
  WHERE lane = ? AND owner IS NULL AND ready_at_ms IS NOT NULL AND (ready_at_ms, key) < (?, ?)
  LIMIT ?
)

-- name: count_lanes
SELECT count(*) FROM (SELECT 1 FROM lanes WHERE line = ? LIMIT ?)
