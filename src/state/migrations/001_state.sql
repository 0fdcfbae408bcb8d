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
--   deadline  sets that were incomplete when a batch was filed, all in one row: to be looked at when it is
--             due. A reminder and no more: whether a set is overdue is read from its rows.
--   overdue   sets that were reported as overdue, until they become complete.
--   outbox    events of handlers, written in the transaction that marks the run done.
--   parked    events that can't be understood, with the reason.
--   function, part, definition   the registered definitions; source: epoch and newest log position.
--
-- Lock order everywhere: member (function, lane, id) < sets (function, key) < run (function, key) <
-- overdue, outbox. Every statement sorts by it, in collation "C". Unsorted, two writers on the same
-- rows deadlock within seconds (53 deadlocks in 523 batches).
--
-- fillfactor leaves room for HOT updates: sets are updated once per arriving part, runs two or
-- three times in their life. No index on a column that intake updates (0.5-0.64x when there is).

create table muster.function (
  id            int generated always as identity primary key,
  name          text collate "C" not null unique,
  generation    int not null,          -- counts definitions; a pod with an older one must not file
  hash          text not null,
  need          int[] not null,        -- rows needed per lane; 0 = lane no longer used
  gate_need     int[] not null,        -- the rule: each gate holds when at least so many ...
  gate_of       bigint[] not null,     -- ... of these bits are set; see muster.complete
  overdue_after interval,
  concurrency   int,                   -- runs at a time over all pods; null = no bound
  paused        boolean not null default false,  -- events are filed, no run is started
  reviewed      int not null,          -- the generation whose rule every set has been held against
  purged_at     timestamptz
);

create table muster.definition (
  function      int not null references muster.function,
  generation    int not null,
  hash          text not null,
  definition    jsonb not null,
  registered_at timestamptz not null default now(),
  primary key (function, generation)
);

-- A part keeps its lane as long as its specification stays the same. The lane of a part that is gone
-- is given away again only when no member is left in it, or old rows would count under a new name.
create table muster.part (
  function       int not null references muster.function,
  lane           smallint not null check (lane between 1 and 16),
  name           text not null,
  specification  jsonb not null,
  floor_version bigint not null default -1,   -- newest truncate of the table; -1 = none
  floor_at       bigint not null default 0,
  primary key (function, lane),
  unique (function, name, specification)
);

create table muster.source (
  name       text collate "C" primary key,
  epoch      int not null default 0,
  lsn        bigint not null,
  at         bigint not null,
  streamed_at bigint not null,         -- when the connector handled the first streamed change, epoch ms
  updated_at timestamptz not null default now()
);

create table muster.member (
  function int not null,
  lane     smallint not null,
  id       text collate "C" not null,  -- primary key of the source row
  version bigint not null,            -- epoch << 55 | lsn; 0 = read by a snapshot
  at       bigint not null,            -- commit time of a change, read time of a snapshot, epoch ms
  key      text collate "C",           -- the set it names; null = deleted, or a null in its key
  held     boolean not null,           -- counts in its set
  live     boolean not null,           -- false: came with the initial snapshot and is history
  columns  jsonb,
  holes    jsonb,                      -- columns the source did not send: column -> [version, at] of what fills it, 0 = nothing; and true where it decides
  since    timestamptz not null,       -- in this set since; not held: newest version known since
  trace    bytea,                      -- trace id and span id of the event, if it was sampled
  primary key (function, lane, id)
) with (fillfactor = 80);
create index member_key on muster.member (function, key) where key is not null;
create index member_gone on muster.member (since) where not held;

create table muster.sets (
  function int not null,
  key      text collate "C" not null,
  counts   int[] not null,             -- rows held per lane, always 16 of them
  live     int not null,               -- rows held that are not history
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
  revision    int not null,            -- 0 = known complete from history, never run
  wanted      boolean not null,
  state       muster.run_state not null,
  token       bigint not null,         -- fencing token: grows with every lease
  attempt     int not null,
  pod         uuid,
  due_at      timestamptz not null,
  born_at     timestamptz not null,
  started_at  timestamptz,
  finished_at timestamptz,
  late        int not null default 0,  -- changes of the set since its run began
  error       text,
  primary key (function, key)
) with (fillfactor = 60);
create index run_due on muster.run (function, due_at) where state = 'ready' and wanted;
create index run_leased on muster.run (pod) where state = 'running';
create index run_failed on muster.run (function, finished_at) where state = 'failed';

create table muster.pod (
  id          uuid primary key,
  host        text not null,
  started_at  timestamptz not null default now(),
  lease_until timestamptz not null
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
  event_id   text not null,            -- stable: function, key, revision, index
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

create table muster.parked (
  id           bigint generated always as identity primary key,
  digest       bytea not null unique,  -- the same event parked again only counts
  reason       text not null,
  detail       text not null,
  attributes   jsonb not null,
  content_type text,
  body         bytea not null,
  seen         int not null default 1,
  parked_at    timestamptz not null default now()
);

-- Is version a newer than version b?
--
-- Two streamed changes: the later log position. As soon as a snapshot read is among them: the time,
-- where a streamed change counts 60 s later than its commit and wins the tie. By position alone a
-- read could refuse an update for ever: its position is the snapshot's, and a transaction that wrote
-- before the snapshot and committed after it carries a smaller one.
create function muster.score(version bigint, at bigint) returns bigint
language sql immutable parallel safe
return case when version > 0 then 2 * (at + 60000) + 1 else 2 * at end;

create function muster.newer(a_version bigint, a_at bigint, b_version bigint, b_at bigint) returns boolean
language sql immutable parallel safe
return case
  when a_version > 0 and b_version > 0 then a_version > b_version
  else muster.score(a_version, a_at) > muster.score(b_version, b_at)
end;

-- Does version `b`, though it is not newer, carry what `a` lacks or has from an older version still?
create function muster.fills(a muster.member, b muster.member) returns boolean
language sql immutable parallel safe
return exists (
  select from jsonb_each(a.holes) as hole (name, filled),
       lateral (select coalesce(b.holes -> hole.name, jsonb_build_array(b.version, b.at)) offset 0) as f (filler)
  where b.columns ? hole.name
    and (hole.filled = '0' or muster.newer((f.filler ->> 0)::bigint, (f.filler ->> 1)::bigint,
                                           (hole.filled ->> 0)::bigint, (hole.filled ->> 1)::bigint))
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
  hole   text;
  filled jsonb;
  filler jsonb;
begin
  if not muster.newer(b.version, b.at, a.version, a.at)
     and not (b.version = a.version and b.at = a.at and a.holes is not null and muster.fills(a, b)
              and not (b.holes is not null and muster.fills(b, a))) then
    winner := a;
    other := b;
  elsif b.holes @? '$.*[2]' and muster.fills(b, a) then
    return a; -- made without knowing this row: its change is undecided, and made again
  elsif a.held and b.held and a.key = b.key then
    winner.since := a.since;
  end if;
  if winner.holes is null or other.columns is null then
    return winner;
  end if;
  for hole, filled in select * from jsonb_each(winner.holes) loop
    continue when filled ->> 2 is not null;
    filler := coalesce(other.holes -> hole, jsonb_build_array(other.version, other.at));
    -- by version, not by time: changes of one transaction have the same
    if other.columns ? hole
       and (filled = '0' or muster.newer((filler ->> 0)::bigint, (filler ->> 1)::bigint,
                                         (filled ->> 0)::bigint, (filled ->> 1)::bigint)) then
      winner.columns := jsonb_set(winner.columns, array[hole], other.columns -> hole);
      winner.holes := jsonb_set(winner.holes, array[hole], filler);
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
  for lane in 1 .. cardinality(need) loop
    if counts[lane] >= need[lane] then
      met := met | (1::bigint << (lane - 1));
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
-- began, or ended, while the set was complete; the change is late, and counted. A failed run whose
-- set changes may start again from its first attempt.
create function muster.next_run(r muster.run, p muster.run) returns muster.run
language plpgsql stable parallel safe as $$
begin
  r.wanted := p.wanted;
  if r.state in ('running', 'done') then
    r.late := r.late + 1;
    return r;
  end if;
  if not p.wanted then
    return r;
  end if;
  if r.state = 'failed' then
    r.state := 'ready';
    r.attempt := 0;
    r.due_at := now();
    r.finished_at := null;
    r.error := null;
  end if;
  if p.state = 'running' and r.due_at <= now() then
    r.state := 'running';
    r.token := r.token + 1;
    r.attempt := r.attempt + 1;
    r.pod := p.pod;
    r.started_at := now();
  end if;
  return r;
end $$;

-- Ends a transaction that may not commit.
create function muster.fence(held boolean) returns void
language plpgsql as $$
begin
  if not held then
    raise exception using errcode = 'MU001', message = 'another pod holds this run';
  end if;
end $$;

-- What a person asks: in which state is each set?
create view muster.set_status as
select f.name as function, s.key,
       case when r.state is null or (r.state in ('ready', 'failed') and not r.wanted) then 'waiting'
            when r.state = 'ready' then 'complete'
            else r.state::text end as status,
       (o.key is not null and (r.state is null or (r.state in ('ready', 'failed') and not r.wanted))) as overdue,
       r.revision, r.attempt, r.error, r.late, o.due_at as overdue_at
from muster.sets s
join muster.function f on f.id = s.function
left join muster.run r on r.function = s.function and r.key = s.key
left join muster.overdue o on o.function = s.function and o.key = s.key;
