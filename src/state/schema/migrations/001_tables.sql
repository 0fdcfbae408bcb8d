-- Muster's state
--
--   function, definition, part   The registered definitions: name, rule and parts of each function.
--   source      The connectors that rows came from, with their epochs and newest log positions.
--   member      What is known about one source row for one part of a function: the set it belongs to now, and
--               its version. A row that was deleted, or that the part's filter rejects, is kept without a set
--               (in_set = false), as a tombstone: it stops an older change that arrives later.
--   truncation  The version at which the table of a part was truncated at its source: older rows are deleted.
--   sets        One narrow row per (function, key) with the number of rows that each part has. It always
--               equals the count of the members; nothing else changes it.
--   run         One row per set that has been complete at least once. complete = "the set is complete now",
--               changed only under the lock of the set's row. A run is due when it is complete and ready and
--               due_at has passed.
--   worker      One row per process that holds leases. A run is leased as long as its worker's row exists.
--   deadline    One row per batch, with the sets that it left incomplete, to be checked when the deadline is
--               due. Only a reminder: whether a set is overdue is determined from its rows.
--   overdue     Sets that were reported as overdue, until they become complete.
--   outbox      Events of handlers, written in the transaction that marks the run done.
--   parked      Events that could not be ingested, with the reason.
--   position, lost_records   The progress of projections in their topics, and the records that were lost.
--
-- Lock order, everywhere: member (function, part_index, source, id) < sets (function, key) <
-- run (function, key) < overdue, outbox. Every statement sorts by it, in collation "C". Unsorted, two writers
-- on the same rows deadlock within seconds (53 deadlocks in 523 batches).
--
-- fillfactor leaves room for HOT updates: a set is updated once per arriving part, a run two or three times
-- in total. No index contains a column that intake updates (with one, the rate drops to 0.5-0.64x).

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
  epochs       jsonb not null default '[]',  -- epochs after the first: {beganAt, endedAt, endedLsn}; see epochs.ts
  epoch        int not null generated always as (first_epoch + jsonb_array_length(epochs)) stored,
  lsn          bigint not null default 0,    -- newest position seen in the epoch; 0 = none yet
  at           bigint not null default 0,    -- its commit time, epoch ms
  streamed_at  bigint,                       -- when the connector handled the first streamed change, epoch ms; null = none yet
  streamed_lsn bigint,                       -- lowest position of a streamed change in epoch 0
  restarted_at bigint,                       -- earliest commit of the changes parked because the log seems to have started over
  updated_at   timestamptz not null default now()
);
create index source_id on muster.source (id);

create table muster.member (
  function        int not null,
  part_index      smallint not null,
  source          int not null,
  id              text collate "C" not null,  -- primary key of the source row
  version         bigint not null,            -- streamed: epoch << 55 | lsn; read by a snapshot: the same, negative; see muster.newer
  at              bigint not null,            -- commit time of a change, read time of a snapshot, epoch ms
  commits         bigint,                     -- position of the last commit before this change, where it is above the change's own
  key             text collate "C",           -- key of its set; null = deleted, or a null in its key
  in_set          boolean not null,           -- counts in its set
  purged          boolean not null default false,  -- its set was purged: no older change restores it
  history         bigint,                     -- hash of the key of the set in which the initial snapshot found the row; see muster.is_fresh
  columns         jsonb,
  -- Columns the source did not send: column -> [version, at, commits] of the version that fills it, or 0 if none
  -- does; with true as a fourth element if the column is a deciding one (it is in the key or a filter).
  missing_columns jsonb,
  since           timestamptz not null,       -- when it entered this set; without a set: when its newest version arrived
  trace           bytea,                      -- trace id and span id of the event, if it was sampled
  primary key (function, part_index, source, id)
) with (fillfactor = 80);
create index member_key on muster.member (function, key) where key is not null;
create index member_gone on muster.member (function, since) where not in_set;

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

create table muster.sets (
  function int not null,
  key      text collate "C" not null,
  counts   int[] not null,             -- rows in the set per part index, always 16 of them
  fresh    int not null,               -- rows in the set that are not history
  primary key (function, key)
) with (fillfactor = 60);

-- Always empty. Every ingest statement writes to it, so that a lock on it waits for the batches in progress,
-- and makes later ones wait before they take their snapshot. It is a separate table because the same lock on
-- member would wait for a vacuum, which may take an hour and would block all intake.
create table muster.barrier ();

create type muster.run_state as enum ('ready', 'running', 'done', 'failed');

create table muster.run (
  function    int not null,
  key         text collate "C" not null,
  revision    int not null,            -- number of the completion, never reused for this key: starts at 1, or
                                       -- one above function.forgotten_revision; 0 = history, never run
  complete    boolean not null,
  state       muster.run_state not null,
  token       bigint not null,         -- fencing token: grows with every lease, and is never reused for this
                                       -- key, even after its run was forgotten
  attempt     int not null,            -- incremented by the lease, decremented if the handler did not start
  lost        int not null default 0,  -- consecutive attempts that ended with their process; 1: or with a lost
                                       -- lease whose handler had not started
  unstarted   bigint,                  -- see claim-runs.sql: the token of a lease whose handler has not
                                       -- started; 0: a start was recorded; null: it starts with the lease
  worker      uuid,
  due_at      timestamptz not null,
  created_at  timestamptz not null,
  started_at  timestamptz,
  finished_at timestamptz,
  late        int not null default 0,  -- changes of rows of the set since its run began
  error       text,
  primary key (function, key)
) with (fillfactor = 60);
create index run_due on muster.run (function, due_at) where state = 'ready' and complete;
create index run_suspect on muster.run (function, due_at) where state = 'ready' and complete and lost > 1;
create index run_leased on muster.run (worker) where state = 'running';
create index run_failed on muster.run (function, finished_at) where state = 'failed';

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
  keys       text[] not null
);
create index deadline_due on muster.deadline (function, due_at);
create index deadline_new on muster.deadline (function, created_at) where not pruned;

create table muster.overdue (
  function    int not null,
  key         text collate "C" not null,
  due_at      timestamptz not null,
  reported_at timestamptz not null default now(),
  primary key (function, key)
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
