-- Muster's state
--
--   function, definition, part   The registered definitions: name, rule and parts of each function.
--   source      The connectors that rows came from, with their epochs and newest log positions.
--   member      What is known about one source row for one part of a function: the set it belongs to now, and
--               its version. A row that was deleted, or that the part's filter rejects, is kept without a set
--               (in_set = false), as a tombstone: it stops an older change that arrives later.
--   truncation  The version at which the table of a part was truncated at its source: older rows are deleted.
--   sets        One row per (function, key) with the number of rows that each part has, which always equals
--               the count of the members, and with the state of the set's run once it has been complete.
--   queue       One narrow row per run that waits until it is due, or failed. It is deleted when the run is
--               leased. A run that was created leased never had one.
--   lease       One row per batch or claim, with the runs that it leased to a worker. It is read when the worker
--               dies, or when a person asks.
--   worker      One row per process that holds leases. A run is leased as long as its worker's row exists.
--   deadline    One row per batch, with the sets that it left incomplete, to be checked when the deadline is
--               due. Only a reminder: whether a set is overdue is determined from its rows.
--   overdue     Sets that were reported as overdue, until they become complete.
--   outbox      Events of handlers, written in the transaction that marks the run done.
--   parked      Events that could not be ingested, with the reason.
--   ignored     How many events arrived of types, and changes of tables, that no function names.
--   position, lost_records   The progress of projections in their topics, and the records that were lost.
--
-- The text of a key is stored once, in its set. Everything else refers to the set by the key's hash: 16 bytes,
-- where keys of 60 are usual.
--
-- Lock order, everywhere: member (function, part_index, source, id) < sets (function, key_hash) < queue, lease,
-- overdue, outbox. Every statement sorts by it, ids in collation "C". Unsorted, two writers on the same rows
-- deadlock within seconds (53 deadlocks in 523 batches). A claim and a reaper, which start from the queue or a
-- lease, skip sets that are locked.
--
-- fillfactor leaves room for HOT updates: a set is updated once per arriving part, and once when its run ends.
-- No index names a column that such an update changes, not even in its predicate: with one, each update writes
-- a new row and an entry in every index (the rate drops to 0.5-0.64x). So what is due, leased or failed is
-- found by narrow rows of its own, which are inserted and deleted, not by an index on the set's state.

create table muster.function (
  id                   int generated always as identity primary key,
  name                 text collate "C" not null unique,
  generation           int not null,           -- number of the definition, human-readable
  -- Identifies this registration. Every statement of a worker that depends on its definition compares it: the
  -- generation alone would also match another function, or other parts, in a database that was recreated.
  registration         uuid not null default gen_random_uuid(),
  hash                 text not null,
  announced            text,                   -- hash of the definition that the next release brings; see announce.ts
  withdrawn            text[] not null default '{}',  -- hashes that were announced and withdrawn before they were registered
  need                 int[] not null,         -- rows needed per part index; 0 = index no longer used
  gate_need            int[] not null,         -- the rule: gate i holds when at least gate_need[i] ...
  gate_of              bigint[] not null,      -- ... of the bits in gate_of[i] are set; see muster.complete
  overdue_after        interval,
  concurrency          int,                    -- maximum number of concurrent runs over all workers; null = no limit
  paused               boolean not null default false,  -- events are ingested, but no run starts
  evaluated_generation int not null,           -- every set has been evaluated by the rule of this generation
  purged_at            timestamptz,
  sink_missing_until   timestamptz,            -- no sink is configured: outgoing events are not due until then
  -- Highest token and revision of the forgotten runs; later runs are created above them (forget-runs.sql).
  forgotten_token      bigint not null default 0,
  forgotten_revision   int not null default 0,
  topic                text                    -- of a projection; null for functions with sets
);

create table muster.definition (
  function      int not null references muster.function,
  generation    int not null,
  hash          text not null,
  definition    jsonb not null,
  registered_at timestamptz not null default now(),
  primary key (function, generation)
);

-- A part keeps its index as long as its specification stays the same. A part that is removed gives up its index
-- (in_use = false) and gets another one if it is added again, because its rows are out of date by then. An index
-- is assigned again only when no member is left under it; otherwise old rows would count for a new part.
create table muster.part (
  function       int not null references muster.function,
  part_index     smallint not null check (part_index between 1 and 16),
  name           text not null,
  specification  jsonb not null,
  in_use         boolean not null default true,
  unsynced_since timestamptz,          -- rows (or stored columns) from before are unknown; null = all are known
  primary key (function, part_index)
);
create unique index part_name on muster.part (function, name) where in_use;

-- A connector, by its name. Positions are compared within one source, and within one of its epochs: a log that
-- starts over (the database was restored or recreated) begins an epoch. A change belongs to the epoch in which
-- it was committed, regardless of when it arrives.
create table muster.source (
  name         text collate "C" primary key,
  id           int not null generated by default as identity,  -- shared by a name and the one that replaced it
  first_epoch  int not null default 0,
  epochs       jsonb not null default '[]',  -- epochs after the first: {beganAt, endedAt, endedLsn, failover}; see epochs.ts
  epoch        int not null generated always as (first_epoch + jsonb_array_length(epochs)) stored,
  lsn          bigint not null default 0,    -- newest position seen in the epoch; 0 = none yet
  at           bigint not null default 0,    -- latest commit time seen in the epoch, epoch ms
  handled_at   bigint not null default 0,    -- when the connector last handled a change, epoch ms; 0 = unknown; binlogs only
  gtids        jsonb not null default '{}',  -- {domain/server: highest number of a transaction seen}; binlogs with GTIDs only
  streamed_at  bigint,                       -- when the connector handled the first streamed change, epoch ms; null = none yet
  streamed_lsn bigint,                       -- lowest position of a streamed change in epoch 0
  restarted_at bigint,                       -- earliest commit of the changes parked because the log seems to have started over
  updated_at   timestamptz not null default now()
);
create index source_id on muster.source (id);

create table muster.member (
  function        int not null,
  source          int not null,
  version         bigint not null,            -- streamed: epoch << 55 | lsn; read by a snapshot: the same, negative; see muster.newer
  at              bigint not null,            -- commit time of a change, read time of a snapshot, epoch ms
  commits         bigint,                     -- position of the last commit before this change, where it is above the change's own
  since           timestamptz not null,       -- when it entered this set; without a set: when its newest version arrived
  gone_on         date,                       -- day of `since` of a row without a set, for the purge: an index on
                                              -- `since` itself would be written with every version of the row
  part_index      smallint not null,
  in_set          boolean not null,           -- counts in its set
  purged          boolean not null default false,  -- its set was purged: no older change restores it
  -- Scratch of the newest ingest statement, which needs the row as it was before; see muster.resolve.
  was_in_set      boolean not null default false,
  was_fresh       boolean not null default false,
  unresolved      boolean not null default false,
  left_set        uuid,                       -- the set that it has left by that statement
  key_hash        uuid,                       -- hash of the key of its set; null = deleted, or a null in its key;
                                              -- of a purged row: null unless its columns follow from the key
  history         uuid,                       -- the set in which the initial snapshot found the row; see muster.is_fresh
  id              text collate "C" not null,  -- primary key of the source row
  literals        smallint,                   -- null, or how the columns follow from key, id and filters; then they
                                              -- are not stored (derived-columns.ts)
  columns         jsonb,
  -- Columns the source did not send: column -> [version, at, commits] of the version that fills it, without a
  -- version if none does; with true as a fourth element if the column is a deciding one (in the key or a filter).
  missing_columns jsonb,
  trace           bytea,                      -- trace id and span id of the event, if it was sampled
  primary key (function, part_index, source, id)
) with (fillfactor = 80);
create index member_set on muster.member (function, key_hash) where key_hash is not null;
create index member_gone on muster.member (function, gone_on) where gone_on is not null;

-- Newest truncate of a part's table at one source.
create table muster.truncation (
  function   int not null,
  part_index smallint not null,
  source     int not null,
  version    bigint not null,
  at         bigint not null,
  commits    bigint,
  primary key (function, part_index, source)
);

-- pending: the run has a row in the queue, or is leased; exactly one of both. resting: the set was complete, and
-- became incomplete before its run began; it has neither.
create type muster.run_state as enum ('pending', 'resting', 'done', 'failed');

-- The order of the columns is that of their changes: an update logs what lies between its first and its last changed
-- byte (with the revision before the key, 40 bytes more per event).
create table muster.sets (
  function       int not null,
  key_hash       uuid not null,            -- see muster.key_hash
  key            text collate "C",         -- never null; a row proposed for insertion has null if its set must exist
  counts         int[] not null,           -- rows in the set per part index
  fresh          int not null,             -- rows in the set that are not history
  token          bigint not null default 0,  -- fencing token: grows each time the run enters the queue, and is never
                                           -- reused for this key, even after its run was forgotten
  completed_at   timestamptz,
  due_at         timestamptz,              -- of its row in the queue, if it has one
  started_at     timestamptz,              -- of the attempt that ended last
  finished_at    timestamptz,
  state          muster.run_state,         -- null = has never been complete
  revision       int not null default 0,   -- number of the completion, never reused for this key: starts at 1, or
                                           -- one above function.forgotten_revision; 0 = history, never run
  complete       boolean not null,         -- by the rule, now
  -- Scratch of the newest ingest statement, which needs the row as it was before; see muster.next_set.
  was_complete   boolean not null default false,
  was_fresh      boolean not null default false,
  was_failed     boolean not null default false,
  begins         boolean not null default false,  -- its run is to be leased or queued
  purged         boolean not null default false,  -- since its newest change
  start_recorded boolean,                  -- whether the start of the attempt that was lost last was recorded
  lost           smallint not null default 0,  -- consecutive attempts that ended with their process; 1: or with a
                                           -- lost lease whose handler had not started, or with a batch that took too long
  attempt        int not null default 0,   -- attempts that have ended and count; see claim-runs.sql
  late           int not null default 0,   -- changes of rows of the set since its run began
  changes        int not null default 0,   -- scratch, too: how many changes the statement proposes
  error          text,
  primary key (function, key_hash)
) with (fillfactor = 50);

-- Always empty. Every ingest statement writes to it, so that a lock on it waits for the batches in progress,
-- and makes later ones wait before they take their snapshot. It is a separate table because the same lock on
-- member would wait for a vacuum, which may take an hour and would block all intake.
create table muster.barrier ();

-- due_at = infinity: the run failed permanently. A row whose token is not that of its set is stale, and ignored.
create table muster.queue (
  function   int not null,
  due_at     timestamptz not null,
  token      bigint not null,
  key_hash   uuid not null,
  is_suspect boolean not null,             -- its process was lost with it more than once; see claim-runs.sql
  primary key (function, due_at, key_hash)
);
create index queue_suspect on muster.queue (function, due_at) where is_suspect;

-- How a lost lease of a run is counted; see claim-runs.sql.
create type muster.start as enum ('counts', 'waiting', 'recorded');

-- The runs of a lease that have ended have another state or token by then. The worker deletes the row when all of
-- them have. At most 48 runs, so that no array is stored out of line.
create table muster.lease (
  claim    uuid not null,                  -- of the statement that leased them
  chunk    smallint not null,
  function int not null,
  worker   uuid not null,
  since    timestamptz not null,
  keys     uuid[] not null,
  tokens   bigint[] not null,
  attempts int[] not null,
  lates    int[] not null,                 -- late changes that were counted before the lease
  starts   muster.start[] not null,
  primary key (claim, chunk)
);
create index lease_worker on muster.lease (worker);

create table muster.worker (
  id          uuid primary key,
  host        text not null,
  started_at  timestamptz not null default now(),
  lease_until timestamptz not null,
  serves      jsonb not null default '{}'  -- function -> registration of the definition that it serves
);

-- One row per batch. A row per set would cost a third of the intake rate: nearly every set would insert and
-- delete a row, with its index entries. The cost of one row per batch is not measurable.
create table muster.deadline (
  id         bigint generated always as identity primary key,
  function   int not null,
  due_at     timestamptz not null,
  created_at timestamptz not null default now(),
  pruned     boolean not null default false,  -- sets that became complete soon after have been removed
  keys       uuid[] not null
);
create index deadline_due on muster.deadline (function, due_at);
create index deadline_new on muster.deadline (function, created_at) where not pruned;

create table muster.overdue (
  function    int not null,
  key_hash    uuid not null,
  due_at      timestamptz not null,
  reported_at timestamptz not null default now(),
  primary key (function, key_hash)
);

create table muster.outbox (
  id         bigint generated always as identity primary key,
  function   int not null,
  key        text collate "C" not null,
  event_id   text not null,            -- stable: function, muster.header_safe(key), revision, index
  type       text not null,
  subject    text not null,
  data       json,                     -- json, not jsonb: sent as the handler wrote it
  created_at timestamptz not null default now(),
  due_at     timestamptz not null default now(),
  attempts   int not null default 0,
  sent_at    timestamptz,
  failed_at  timestamptz,
  error      text,
  trace      bytea,                    -- of the run, as in member
  -- The worker that is about to send it. reap-workers.sql releases the events of a dead worker; otherwise they
  -- would wait for a minute, after which no worker can still be sending them.
  worker     uuid
) with (fillfactor = 70);
create index outbox_due on muster.outbox (function, due_at) where sent_at is null and failed_at is null;
create index outbox_set on muster.outbox (function, key, id);
create index outbox_failed on muster.outbox (function, id) where failed_at is not null;
create index outbox_taken on muster.outbox (worker) where worker is not null;

create table muster.parked (
  id               bigint generated always as identity primary key,
  digest           bytea not null unique,  -- an event that is parked again is only counted
  functions        text[] not null default '{}',  -- functions of the workers that parked it, for a redelivery
  reason           text not null,
  detail           text not null,
  attributes       jsonb not null,
  content_type     text,
  content_encoding text,                   -- of the body, if that could not be decoded
  body             bytea not null,
  seen             int not null default 1,
  parked_at        timestamptz not null default now()
);

-- Workers count in memory, and add what they have counted every few seconds. Senders choose the names, so there is a
-- bound to the rows; names beyond it are counted together, in the row of kind 'other' (add-ignored.sql).
create table muster.ignored (
  kind      text not null check (kind in ('event', 'table', 'other')),
  name      text collate "C" not null,     -- type of the events, or table; empty for 'other'
  count     bigint not null,
  first_at  timestamptz not null default now(),
  last_at   timestamptz not null default now(),
  source    text,                          -- CloudEvents attribute `source` of one of the latest
  functions text[] not null,               -- functions of the workers that ignored them
  primary key (kind, name)
);

-- A projection's progress in a partition: everything below `next` is applied. The worker that applies a chunk
-- moves the position in the same transaction, and only from the offset at which the chunk begins: that is the
-- fence.
create table muster.position (
  function       int not null references muster.function,
  topic          text collate "C" not null,
  partition      int not null,
  next           bigint not null,
  last_timestamp bigint,                   -- timestamp of the record at next - 1, epoch ms: a different one there
                                           -- means that the topic was recreated; null = unknown
  log_end        bigint not null,          -- offset after the newest record when the owner last looked
  reported_at    timestamptz not null default now(),
  topic_id       text,                     -- id of the topic to which the position belongs; null = unknown
  problem        text,                     -- why the partition is stopped until an operator decides
  primary key (function, topic, partition)
) with (fillfactor = 50);

-- Offsets that a topic no longer had when they were to be read, one row per gap.
create table muster.lost_records (
  function    int not null references muster.function,
  topic       text collate "C" not null,
  partition   int not null,
  first       bigint not null,             -- offset of the first lost record
  next        bigint not null,             -- offset at which reading resumed
  noticed_at  timestamptz not null default now(),
  primary key (function, topic, partition, first)
);
