-- The first schema. Words are those of the glossary; times are milliseconds since 1970, UTC, unless a name says otherwise.
-- Columns that only later versions fill are here from the beginning where adding them later would rewrite large tables.

CREATE TABLE graphs (
  key         INTEGER PRIMARY KEY,
  workflow_id TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  document    BLOB NOT NULL,
  UNIQUE (workflow_id, fingerprint)
);

-- What lists and claims know of a run without reading its journal.
CREATE TABLE runs (
  key           INTEGER PRIMARY KEY,
  run_id        TEXT NOT NULL UNIQUE,
  workflow_id   TEXT NOT NULL,
  graph         INTEGER NOT NULL,
  resource_id   TEXT,
  status        TEXT NOT NULL,
  execution     INTEGER NOT NULL,
  epoch         INTEGER NOT NULL,
  owner         INTEGER,           -- key of the worker that drives it
  head          INTEGER NOT NULL,  -- seq of its latest event
  crashed       INTEGER NOT NULL DEFAULT 0,  -- 1 while nobody took it since a process that drove it ended by itself
  ready_at_ms   INTEGER,           -- queue, timer and wake-up at once; NULL while owned, or if only the inbox wakes it
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  lane          INTEGER            -- where it waits for its limits; -1: it rests; NULL: it needs nothing but a worker
);

CREATE INDEX runs_claimable ON runs (graph, ready_at_ms)
  WHERE lane IS NULL AND owner IS NULL AND ready_at_ms IS NOT NULL;
CREATE INDEX runs_in_lane ON runs (lane, ready_at_ms)
  WHERE lane IS NOT NULL AND owner IS NULL AND ready_at_ms IS NOT NULL;
CREATE INDEX runs_owned ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_of_resource ON runs (resource_id) WHERE resource_id IS NOT NULL;

-- Words to find runs by. A table of its own: a run without tags writes nothing for them.
CREATE TABLE run_tags (
  run_key INTEGER NOT NULL,
  tag     TEXT NOT NULL,
  PRIMARY KEY (run_key, tag)
) WITHOUT ROWID;

CREATE INDEX run_tags_by_tag ON run_tags (tag, run_key);

-- Until when a run has to begin. A table of its own, for the few that have to; rows go when they are looked at late, or
-- with their run.
CREATE TABLE start_deadlines (
  run_key   INTEGER PRIMARY KEY,
  due_at_ms INTEGER NOT NULL,
  head      INTEGER NOT NULL  -- seq of its latest event when it was recorded
);

CREATE INDEX start_deadlines_due ON start_deadlines (due_at_ms);

-- Why nothing is done about a run for now, in words. A table of its own, for the few that are held; a row counts as long
-- as the run is as it was then, so that nothing has to be taken back when somebody goes on with it.
CREATE TABLE holds (
  run_key INTEGER PRIMARY KEY,
  epoch   INTEGER NOT NULL,
  head    INTEGER NOT NULL,
  reason  TEXT NOT NULL
);

-- The journals. body and payload begin with one byte that names their encoding: 0 is JSON.
CREATE TABLE events (
  run_key   INTEGER NOT NULL,
  seq       INTEGER NOT NULL,
  execution INTEGER NOT NULL,
  type      TEXT NOT NULL,
  v         INTEGER NOT NULL,
  at_ms     INTEGER NOT NULL,
  path      TEXT NOT NULL,
  attempt   INTEGER NOT NULL,
  body      BLOB,
  payload   BLOB,
  PRIMARY KEY (run_key, seq)
) WITHOUT ROWID;

-- What bodies say while they run, in one order with the events: no seq is in both tables. Apart from them, because only
-- streams read it: a recovery or a result never passes over it, and it can be dropped before the run is.
CREATE TABLE stream_events (
  run_key   INTEGER NOT NULL,
  seq       INTEGER NOT NULL,
  execution INTEGER NOT NULL,
  type      TEXT NOT NULL,
  v         INTEGER NOT NULL,
  at_ms     INTEGER NOT NULL,
  path      TEXT NOT NULL,
  attempt   INTEGER NOT NULL,
  body      BLOB,
  payload   BLOB,
  PRIMARY KEY (run_key, seq)
) WITHOUT ROWID;

-- What outsiders ask of a run. Rows stay after they were taken: a topic has one winner for ever.
CREATE TABLE inbox (
  key     INTEGER PRIMARY KEY AUTOINCREMENT,
  run_key INTEGER NOT NULL,
  topic   TEXT NOT NULL,
  kind    TEXT NOT NULL,
  at_ms   INTEGER NOT NULL,
  body    BLOB NOT NULL,
  taken   INTEGER NOT NULL DEFAULT 0,
  UNIQUE (run_key, topic)
);

CREATE INDEX inbox_open ON inbox (run_key) WHERE taken = 0;

-- Lives of workers. AUTOINCREMENT: a number that once meant a dead worker must never mean a living one.
CREATE TABLE workers (
  key            INTEGER PRIMARY KEY AUTOINCREMENT,
  incarnation    TEXT NOT NULL UNIQUE,  -- names the lock file that the process holds while it lives
  pid            INTEGER NOT NULL,      -- for people; never used to decide anything
  boot_id        TEXT NOT NULL,         -- lease_until_ns means nothing after a reboot
  lease_until_ns INTEGER NOT NULL,      -- on the clock that counts from boot and that nobody sets
  workflows      TEXT NOT NULL,         -- JSON list of workflow ids
  graphs         TEXT NOT NULL          -- JSON list of the graphs that its own code makes of them
);

-- For starts that name an identity: the same key gives the same run.
CREATE TABLE identity_keys (
  scope         TEXT NOT NULL,
  key           TEXT NOT NULL,
  run_key       INTEGER NOT NULL,
  input_hash    BLOB NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) WITHOUT ROWID;

CREATE INDEX identity_keys_by_run ON identity_keys (run_key);

-- What must be delivered because of a commit: calls of hooks. A row goes when it was delivered. AUTOINCREMENT: a number
-- that once meant a delivery must never mean another one.
CREATE TABLE outbox (
  key       INTEGER PRIMARY KEY AUTOINCREMENT,
  run_key   INTEGER NOT NULL,
  graph     INTEGER NOT NULL,      -- the run's, for the index
  execution INTEGER NOT NULL,
  seq       INTEGER NOT NULL,      -- the event that it tells of
  kind      TEXT NOT NULL,
  due_at_ms INTEGER,               -- NULL: given up, and kept for readers
  tries     INTEGER NOT NULL DEFAULT 0,
  owner     INTEGER,               -- key of the worker that delivers it now
  failure   BLOB                   -- why the latest try failed, as JSON
);

CREATE INDEX outbox_due ON outbox (graph, due_at_ms) WHERE owner IS NULL AND due_at_ms IS NOT NULL;
CREATE INDEX outbox_owned ON outbox (owner) WHERE owner IS NOT NULL;
CREATE INDEX outbox_run ON outbox (run_key);

-- What starts workflows by itself. A row is changed by whoever knows its version. AUTOINCREMENT: a number that once meant
-- a deleted schedule must never mean another one.
CREATE TABLE schedules (
  key           INTEGER PRIMARY KEY AUTOINCREMENT,
  id            TEXT NOT NULL UNIQUE,
  version       INTEGER NOT NULL,
  workflow_id   TEXT NOT NULL,
  declared      INTEGER NOT NULL,  -- 1 if it stands in the code of the workflow
  status        TEXT NOT NULL,
  due_at_ms     INTEGER,           -- when somebody has to look at it
  waiting       INTEGER NOT NULL,  -- 1 while a firing waits for a run to end
  plan          BLOB NOT NULL,     -- what was said of it; as bodies of events, the first byte names the encoding
  memory        BLOB NOT NULL,     -- where it stands, the same way
  last_number   INTEGER NOT NULL,  -- of its triggers
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL
);

CREATE INDEX schedules_due ON schedules (workflow_id, due_at_ms) WHERE due_at_ms IS NOT NULL;
CREATE INDEX schedules_waiting ON schedules (workflow_id, key) WHERE waiting = 1;

-- What became of the times of schedules.
CREATE TABLE triggers (
  schedule        INTEGER NOT NULL,
  number          INTEGER NOT NULL,
  kind            TEXT NOT NULL,
  scheduled_at_ms INTEGER NOT NULL,
  until_ms        INTEGER NOT NULL,
  count           INTEGER,
  at_ms           INTEGER NOT NULL,
  outcome         TEXT NOT NULL,
  run_id          TEXT,
  reason          TEXT NOT NULL,
  PRIMARY KEY (schedule, number)
) WITHOUT ROWID;

-- Flow control. Tables of their own: a run that has neither limits nor a priority writes nothing to them. `gates` is a
-- JSON list of [limit, key]; what the words mean stands in storage/flow.py.

-- The limits as the latest app that has them declares them.
CREATE TABLE limits (
  name   TEXT PRIMARY KEY,
  most   INTEGER NOT NULL,
  per_ms INTEGER,           -- NULL: how many go on at a time
  burst  INTEGER NOT NULL
) WITHOUT ROWID;

-- The runs under flow control.
CREATE TABLE flows (
  run_key  INTEGER PRIMARY KEY,
  priority INTEGER NOT NULL,
  gates    TEXT NOT NULL,
  begun    INTEGER NOT NULL DEFAULT 0  -- 1 once it went on: rates do not count it again
);

-- Lanes that need the same gates without keys. As few as graphs.
CREATE TABLE lines (
  key   INTEGER PRIMARY KEY,
  graph INTEGER NOT NULL,
  gates TEXT NOT NULL,
  UNIQUE (graph, gates)
);

-- Only lanes in which runs wait; rows go when they are looked at and found empty.
CREATE TABLE lanes (
  key             INTEGER PRIMARY KEY,
  line            INTEGER NOT NULL,
  priority        INTEGER NOT NULL,
  gates           TEXT NOT NULL,
  turn            INTEGER,           -- its place in the ring; NULL: out of it
  due_at_ms       INTEGER,           -- out of it: until when; NULL: until a run lets go of `gate`
  closed_until_ms INTEGER NOT NULL DEFAULT 0,
  gate            TEXT,
  UNIQUE (line, priority, gates)
);

CREATE INDEX lanes_ring ON lanes (line, priority DESC, turn) WHERE turn IS NOT NULL;
CREATE INDEX lanes_by_turn ON lanes (turn) WHERE turn IS NOT NULL;
CREATE INDEX lanes_due ON lanes (line, due_at_ms) WHERE turn IS NULL AND due_at_ms IS NOT NULL;
CREATE INDEX lanes_closed ON lanes (gate) WHERE gate IS NOT NULL;

-- Which run holds which gate: from when it goes on until it rests or ends, whatever becomes of its owner.
CREATE TABLE slots (
  run_key INTEGER NOT NULL,
  gate    TEXT NOT NULL,
  PRIMARY KEY (run_key, gate)
) WITHOUT ROWID;

CREATE INDEX slots_of_gate ON slots (gate, run_key);

-- When the next run would begin behind a gate if all began evenly. Rows of the past mean nothing, and go.
CREATE TABLE rates (
  gate           TEXT PRIMARY KEY,
  theoretical_us INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX rates_by_time ON rates (theoretical_us);
