-- Muster's state, in words
--
--   member    what is known of one source row for one part of a function: which set it is in now, at
--             which version. A deleted row, or one the part's filter refuses, stays as a row without
--             a set (held = false): it stops an older change that arrives later.
--   sets      one narrow row per (function, key): how many rows each part holds. Always equal to the
--             members that say so: a fact derived from them and nothing else.
--   run       one row per set that was ever complete. wanted = "the set is complete now", changed
--             only under the lock of the set's row. Due = wanted and ready and due_at has passed.
--   pod       one row per process that holds leases; a run is held as long as its pod's row lives.
--   deadline  sets that were incomplete when a batch was ingested, all in one row: to be looked at when it is
--             due. A reminder and no more: whether a set is overdue is read from its rows.
--   overdue   sets that were reported as overdue, until they become complete.
--   outbox    events of handlers, written in the transaction that marks the run done.
--   parked    events that can't be understood, with the reason.
--   function, part, definition   the registered definitions.
--   source    the connectors that rows came from: their epochs and newest log positions.
--   truncation  where the table of a part was emptied at its source: older versions are gone.
--
-- Lock order everywhere: member (function, lane, source, id) < sets (function, key) < run (function, key) <
-- overdue, outbox. Every statement sorts by it, in collation "C". Unsorted, two writers on the same
-- rows deadlock within seconds (53 deadlocks in 523 batches).
--
-- fillfactor leaves room for HOT updates: sets are updated once per arriving part, runs two or
-- three times in their life. No index on a column that intake updates (0.5-0.64x when there is).

create table muster.function (
  id            int generated always as identity primary key,
  name          text collate "C" not null unique,
  generation    int not null,          -- counts definitions, for people
  -- Names this registration. Every statement of a worker that depends on its definition compares it: the
  -- generation alone would also fit another function, or other lanes, in a database that was made anew.
  registration  uuid not null default gen_random_uuid(),
  hash          text not null,
  need          int[] not null,        -- rows needed per lane; 0 = lane no longer used
  gate_need     int[] not null,        -- the rule: each gate holds when at least so many ...
  gate_of       bigint[] not null,     -- ... of these bits are set; see muster.complete
  overdue_after interval,
  announced     text,                  -- hash of the definition that the next release brings; see announce.ts
  withdrawn     text[] not null default '{}',  -- hashes that were announced and gave way before they were registered
  concurrency   int,                   -- runs at a time over all pods; null = no bound
  paused        boolean not null default false,  -- events are ingested, no run is started
  evaluated_generation      int not null,          -- the generation whose rule every set has been held against
  purged_at     timestamptz,
  sink_missing_until timestamptz,      -- no sink is configured: events to send are not due meanwhile
  -- highest token and revision of a run that was forgotten: runs are born above them (forget-runs.sql)
  forgotten_token    bigint not null default 0,
  forgotten_revision int not null default 0
);

create table muster.definition (
  function      int not null references muster.function,
  generation    int not null,
  hash          text not null,
  definition    jsonb not null,
  registered_at timestamptz not null default now(),
  primary key (function, generation)
);

-- A part keeps its lane as long as its specification stays the same. A part that is gone leaves its lane
-- (in_use = false) and gets another one if it comes back, because what its rows say is out of date by then.
-- A lane is given away again only when no member is left in it, or old rows would count under a new name.
create table muster.part (
  function       int not null references muster.function,
  part_index           smallint not null check (part_index between 1 and 16),
  name           text not null,
  specification  jsonb not null,
  in_use         boolean not null default true,
  unsynced_since   timestamptz,          -- rows (or kept columns) from before are not known; null = all are
  primary key (function, part_index)
);
create unique index part_name on muster.part (function, name) where in_use;

-- A connector, by its name. Positions are compared within one source, and within one epoch of it: a log
-- that starts over (the database was restored or made anew) begins an epoch. A change belongs to the
-- epoch in which it was committed, whenever it arrives.
create table muster.source (
  name         text collate "C" primary key,
  id           int not null generated by default as identity,  -- shared by a name and the one that replaced it
  first_epoch  int not null default 0,
  epochs       jsonb not null default '[]',  -- those after the first: {beganAt, endedAt, endedLsn}, see log-positions
  epoch        int not null generated always as (first_epoch + jsonb_array_length(epochs)) stored,
  lsn          bigint not null default 0,    -- newest position seen of the epoch; 0 = none yet
  at           bigint not null default 0,    -- its commit time, epoch ms
  streamed_at  bigint,       -- when the connector handled the first streamed change, epoch ms; null = none yet
  streamed_lsn bigint,       -- lowest position of a streamed change in epoch 0
  restarted_at bigint,       -- earliest commit of the changes parked because the log seems to have started over
  updated_at   timestamptz not null default now()
);
create index source_id on muster.source (id);

create table muster.member (
  function int not null,
  part_index     smallint not null,
  source   int not null,
  id       text collate "C" not null,  -- primary key of the source row
  version  bigint not null,            -- streamed: epoch << 55 | lsn; read by a snapshot: the same, negative; see muster.newer
  at       bigint not null,            -- commit time of a change, read time of a snapshot, epoch ms
  commits  bigint,                     -- position of the last commit before this change, where it is above the change's own
  key      text collate "C",           -- the set it names; null = deleted, or a null in its key
  in_set     boolean not null,           -- counts in its set
  purged   boolean not null default false,  -- its set was purged: no older change brings it back
  history  bigint,                     -- hash of the key under which the initial snapshot found the row held; see muster.is_live
  columns  jsonb,
  missing_columns    jsonb,                      -- columns the source did not send: column -> [version, at, commits] of what fills it, 0 = nothing; and true where it decides
  since    timestamptz not null,       -- in this set since; not held: newest version known since
  trace    bytea,                      -- trace id and span id of the event, if it was sampled
  primary key (function, part_index, source, id)
) with (fillfactor = 80);
create index member_key on muster.member (function, key) where key is not null;
create index member_gone on muster.member (function, since) where not in_set;

-- Newest truncate of a part's table at one source.
create table muster.truncation (
  function int not null,
  part_index     smallint not null,
  source   int not null,
  version  bigint not null,
  at       bigint not null,
  commits  bigint,
  primary key (function, part_index, source)
);

create table muster.sets (
  function int not null,
  key      text collate "C" not null,
  counts   int[] not null,             -- rows held per lane, always 16 of them
  fresh     int not null,               -- rows held that are not history
  primary key (function, key)
) with (fillfactor = 60);

-- Always empty. Every filing statement is a writer of it, so that a lock on it waits for the batches
-- under way, and makes the next ones wait before they take their snapshot. A table of its own: the same
-- lock on member would wait for a vacuum, which may take an hour, with all intake behind it.
create table muster.barrier ();

create type muster.run_state as enum ('ready', 'running', 'done', 'failed');

create table muster.run (
  function    int not null,
  key         text collate "C" not null,
  revision    int not null,            -- number of the completion, never used again for this key: 1, or one
                                       -- above function.forgotten_revision; 0 = history, never run
  complete      boolean not null,
  state       muster.run_state not null,
  token       bigint not null,         -- fencing token: grows with every lease, and is never used again for
                                       -- this key, also when its run was forgotten meanwhile
  attempt     int not null,            -- counted with the lease; taken back where the handler did not start
  lost        int not null default 0,  -- attempts in a row that ended with their process; 1: or a lease
  unstarted   bigint,                  -- see claim-runs.sql: the token of a lease whose handler has not
                                       -- started; 0: a start was recorded; null: it starts with the lease
  worker         uuid,
  due_at      timestamptz not null,
  created_at     timestamptz not null,
  started_at  timestamptz,
  finished_at timestamptz,
  late        int not null default 0,  -- rows of the set that changed since its run began, once for each change
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

-- A row per set would cost a third of all intake: it is inserted and deleted again, with its index
-- entries, for nearly every set. One per batch costs nothing that can be measured.
create table muster.deadline (
  id         bigint generated always as identity primary key,
  function   int not null,
  due_at     timestamptz not null,
  created_at timestamptz not null default now(),
  pruned     boolean not null default false,  -- holds those only that were not complete soon after
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
  trace      bytea                     -- of the run, as in member
) with (fillfactor = 70);
create index outbox_due on muster.outbox (function, due_at) where sent_at is null and failed_at is null;
create index outbox_set on muster.outbox (function, key, id);
create index outbox_failed on muster.outbox (function, id) where failed_at is not null;

create table muster.parked (
  id           bigint generated always as identity primary key,
  digest       bytea not null unique,  -- the same event parked again only counts
  functions    text[] not null default '{}',  -- served by the workers that parked it; they must take it again
  reason       text not null,
  detail       text not null,
  attributes   jsonb not null,
  content_type text,
  content_encoding text,               -- of the body, where that could not be decoded
  body         bytea not null,
  seen         int not null default 1,
  parked_at    timestamptz not null default now()
);

-- Is version a newer than version b, of one row of one source? The later epoch is. Within one:
--
-- Two streamed changes: the later log position.
-- Two snapshot reads: the later position of the stream at which they were made; the later time, where
-- these are equal or one is not told (position 0).
-- A read and a streamed change: the read is newer only if everything says so. Its time must be more
-- than 60 s after the commit: by position alone it could refuse an update for ever, because a
-- transaction that wrote before an initial snapshot and committed after it has a lower position. And
-- neither the change's position nor that of the last commit before it may be above the read's: by time
-- alone a read that a connector with a lag, or with a fast clock, emits late would hide every change
-- that was made meanwhile.
create function muster.newer(a_version bigint, a_at bigint, a_commits bigint,
                             b_version bigint, b_at bigint, b_commits bigint) returns boolean
language sql immutable parallel safe
return case
  when abs(a_version) >> 55 <> abs(b_version) >> 55 then abs(a_version) > abs(b_version)
  when a_version > 0 and b_version > 0 then a_version > b_version
  when a_version > 0 then
    not (a_at + 60000 < b_at
         and (b_version & 36028797018963967 = 0 or greatest(a_version, a_commits) <= -b_version))
  when b_version > 0 then
    b_at + 60000 < a_at
      and (a_version & 36028797018963967 = 0 or greatest(b_version, b_commits) <= -a_version)
  when a_version <> b_version and a_version & 36028797018963967 <> 0 and b_version & 36028797018963967 <> 0
    then a_version < b_version
  else a_at > b_at
end;

-- Does a row count as new in its set? Not where the initial snapshot found it there already: such a row is
-- history, whatever changed in it since. The hash stands for the key (8 bytes for the key's 60).
create function muster.is_fresh(in_set boolean, key text, history bigint) returns boolean
language sql immutable parallel safe
return in_set and (history is null or history <> hashtextextended(key, 0));

-- Does version `b`, though it is not newer, carry what `a` lacks or has from an older version still?
create function muster.fills(a muster.member, b muster.member) returns boolean
language sql immutable parallel safe
return exists (
  select from jsonb_each(a.missing_columns) as missing (name, filled),
       lateral (select coalesce(b.missing_columns -> missing.name, jsonb_build_array(b.version, b.at, b.commits)) offset 0) as f (filler)
  where b.columns ? missing.name
    and (missing.filled = '0' or muster.newer((f.filler ->> 0)::bigint, (f.filler ->> 1)::bigint, (f.filler ->> 2)::bigint,
                                           (missing.filled ->> 0)::bigint, (missing.filled ->> 1)::bigint, (missing.filled ->> 2)::bigint))
);

-- What is known of a row after version `b` came in on top of `a`: the newer one, its holes (columns
-- the source did not send) filled with the newest value any version carried. A hole that decides is
-- left as it is: key and verdict would have to follow it. Of two rows of one version, that one whose
-- holes are filled by newer versions; it was made knowing the other (knowing.ts).
create function muster.resolve(a muster.member, b muster.member) returns muster.member
language plpgsql immutable parallel safe as $$
declare
  winner muster.member := b;
  other  muster.member := a;
  missing   text;
  filled jsonb;
  filler jsonb;
begin
  if not muster.newer(b.version, b.at, b.commits, a.version, a.at, a.commits)
     and not (b.version = a.version and b.at = a.at and a.missing_columns is not null and muster.fills(a, b)
              and not (b.missing_columns is not null and muster.fills(b, a))) then
    winner := a;
    other := b;
  elsif b.missing_columns @? '$.*[3]' and muster.fills(b, a) then
    -- made without knowing this row: its change is undecided, and made again
    a.history := coalesce(a.history, b.history);
    return a;
  elsif a.in_set and b.in_set and a.key = b.key then
    winner.since := a.since;
  end if;
  winner.history := coalesce(winner.history, other.history);
  if winner.missing_columns is null or other.columns is null then
    return winner;
  end if;
  for missing, filled in select * from jsonb_each(winner.missing_columns) loop
    continue when filled ->> 3 is not null;
    filler := coalesce(other.missing_columns -> missing, jsonb_build_array(other.version, other.at, other.commits));
    -- by version, not by time: changes of one transaction have the same
    if other.columns ? missing
       and (filled = '0' or muster.newer((filler ->> 0)::bigint, (filler ->> 1)::bigint, (filler ->> 2)::bigint,
                                         (filled ->> 0)::bigint, (filled ->> 1)::bigint, (filled ->> 2)::bigint)) then
      winner.columns := jsonb_set(winner.columns, array[missing], other.columns -> missing);
      winner.missing_columns := jsonb_set(winner.missing_columns, array[missing], filler);
    end if;
  end loop;
  return winner;
end $$;

-- Does the rule hold? Bit i - 1 = lane i has the rows it needs; then each gate in turn sets bit
-- 15 + its number when at least gate_need of the bits in gate_of are set, so a gate may read those
-- before it: all(a, any(b, c)) is two gates. The last gate is the verdict.
-- Gates, not a normal form: atLeast 10 of 16 would be 8,008 terms.
create function muster.complete(counts int[], need int[], gate_need int[], gate_of bigint[]) returns boolean
language plpgsql immutable parallel safe strict as $$
declare
  met bigint := 0;
begin
  for part_index in 1 .. cardinality(need) loop
    if counts[part_index] >= need[part_index] then
      met := met | (1::bigint << (part_index - 1));
    end if;
  end loop;
  for gate in 1 .. cardinality(gate_need) loop
    if bit_count((met & gate_of[gate])::bit(64)) >= gate_need[gate] then
      met := met | (1::bigint << (15 + gate));
    end if;
  end loop;
  return coalesce((met >> (15 + cardinality(gate_need))) & 1 = 1, false);
end $$;

-- Sum of two count vectors. Written out, because so it is inlined: by a subquery over unnest it costs
-- a tenth of all intake.
create function muster.plus(a int[], b int[]) returns int[]
language sql immutable parallel safe
return array[
  a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4],
  a[5] + b[5], a[6] + b[6], a[7] + b[7], a[8] + b[8],
  a[9] + b[9], a[10] + b[10], a[11] + b[11], a[12] + b[12],
  a[13] + b[13], a[14] + b[14], a[15] + b[15], a[16] + b[16]
];

-- What becomes of a run `r` when a change of its set proposes `p` (its wanted, and 'running' where
-- the proposing pod has a free slot). While leased or done the run stays what it is: the attempt
-- began, or ended, while the set was complete; the `changes` are late, and counted. A failed run whose
-- set changes may start again from its first attempt.
create function muster.next_run(r muster.run, p muster.run, changes int) returns muster.run
language plpgsql stable parallel safe as $$
begin
  r.complete := p.complete;
  if r.state in ('running', 'done') then
    r.late := r.late + changes;
    return r;
  end if;
  if p.state = 'done' and p.complete and r.attempt = 0 and r.started_at is null then
    -- the initial snapshot had all of the set, as is known only now, and nothing was started
    r.revision := p.revision;
    r.state := 'done';
    r.finished_at := now();
    return r;
  end if;
  if not p.complete then
    return r;
  end if;
  if r.state = 'failed' then
    r.state := 'ready';
    r.attempt := 0;
    r.due_at := now();
    r.finished_at := null;
    r.error := null;
  end if;
  -- one that was lost with its process more than once is leased by claim-runs.sql, one at a time
  if p.state = 'running' and r.due_at <= now() and r.lost < 2 then
    r.state := 'running';
    r.token := r.token + 1;
    r.attempt := r.attempt + 1;
    r.unstarted := null;
    r.worker := p.worker;
    r.started_at := now();
  end if;
  return r;
end $$;

-- Ends a transaction that may not commit.
create function muster.fence(owned boolean) returns void
language plpgsql as $$
begin
  if not owned then
    raise exception using errcode = 'MU001', message = 'another worker holds this run';
  end if;
end $$;

-- Escapes a key so that it can stand in the id of an event, which may become an HTTP header; src/runs/run-id.ts
-- says which characters, and does the same for the events of handlers.
create function muster.header_safe(key text) returns text
language sql stable parallel safe
return case when key collate "C" ~ '^[ -}]*$' then key else (
  select string_agg(
    case when c collate "C" ~ '[ -}]' then c
         else regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '~\1', 'g') end, '' order by nth)
  from regexp_split_to_table(key, '') with ordinality as t (c, nth)
) end;

-- What a person asks: in which state is each set, and since when? A waiting set waits since the first of
-- its rows arrived.
create view muster.set_status as
select f.name as function, s.key, w.status,
       (o.key is not null and w.status = 'waiting') as overdue,
       case w.status
         when 'waiting' then (select min(m.since) from muster.member m where m.function = s.function and m.key = s.key and m.in_set)
         when 'complete' then r.created_at
         when 'running' then r.started_at
         else r.finished_at
       end as since,
       r.revision, r.attempt, r.error, r.late, o.due_at as overdue_at
from muster.sets s
join muster.function f on f.id = s.function
left join muster.run r on r.function = s.function and r.key = s.key
left join muster.overdue o on o.function = s.function and o.key = s.key
cross join lateral (
  select case when r.state is null or (r.state in ('ready', 'failed') and not r.complete) then 'waiting'
              when r.state = 'ready' then 'complete'
              else r.state::text end as status
) w;
