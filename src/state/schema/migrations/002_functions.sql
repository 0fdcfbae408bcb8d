-- Functions that statements share, and two views: the status of sets, and the due work for KEDA.

-- Returns whether version a of a row is newer than version b, both from one source. A later epoch is newer.
-- Within an epoch:
--
-- Two streamed changes: the later log position is newer.
-- Two snapshot reads: the one made at the later position of the stream is newer; the later time, if the
-- positions are equal or one is unknown (0).
-- A read and a streamed change: the read is newer only if both time and position show it. Its time must be
-- more than 60 s after the commit: by position alone it could reject an update permanently, because a
-- transaction that wrote before an initial snapshot and committed after it has a lower position. And
-- neither the change's position nor that of the last commit before it may be above the read's: by time
-- alone, a read that is emitted late, by a connector that lags or has a fast clock, would hide every change
-- made in between.
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

-- Returns the hash by which a set is named everywhere but in its own row. It begins with a hash of the key
-- without the last characters of each word, so that keys that follow each other share pages of the indexes.
-- Workers compute it themselves (key-hash.ts); this is for people:
-- select * from muster.member where key_hash = muster.key_hash('42').
create function muster.key_hash(key text) returns uuid
language sql immutable strict parallel safe
return encode(
  substring(sha256(convert_to(regexp_replace(key, '[0-9A-Za-z]{1,2}(?![0-9A-Za-z])', '', 'g'), 'UTF8')) for 4) ||
    substring(sha256(convert_to(key, 'UTF8')) for 12),
  'hex')::uuid;

-- Returns whether a row counts as new in its set. It does not if the initial snapshot already found it there:
-- such a row is history, even if it has changed since.
create function muster.is_fresh(in_set boolean, key_hash uuid, history uuid) returns boolean
language sql immutable parallel safe
return in_set and (history is null or history <> key_hash);

-- Returns whether version `b`, even if it is not newer, carries a column that `a` lacks, or has from a version
-- that is older than the one in `b`.
create function muster.fills(a muster.member, b muster.member) returns boolean
language sql immutable parallel safe
return exists (
  select from jsonb_each(a.missing_columns) as missing (name, filled),
       lateral (select coalesce(b.missing_columns -> missing.name, jsonb_build_array(b.version, b.at, b.commits)) offset 0) as f (filler)
  -- a row whose columns follow from its key and filters carries all deciding ones
  where (b.columns ? missing.name or b.literals is not null and missing.filled ->> 3 is not null)
    and (missing.filled ->> 0 is null
         or muster.newer((f.filler ->> 0)::bigint, (f.filler ->> 1)::bigint, (f.filler ->> 2)::bigint,
                         (missing.filled ->> 0)::bigint, (missing.filled ->> 1)::bigint, (missing.filled ->> 2)::bigint))
);

-- Merges version `b`, which has just arrived, into the stored version `a`. Returns the newer one, its missing
-- columns (those the source did not send) filled with the newest value that either version carries. A missing
-- column that is a deciding one is not filled: the key and the filter's result would have to follow. Of two rows
-- of the same version, returns the one whose missing columns are filled by newer versions: it was built with
-- knowledge of the other (missing-columns.ts).
create function muster.merge(a muster.member, b muster.member) returns muster.member
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
    -- `b` was built without knowing the stored row, whose columns may follow from its key: the change of `b` is
    -- unresolved, and is built again
    a.history := coalesce(a.history, b.history);
    return a;
  elsif a.in_set and b.in_set and a.key_hash = b.key_hash then
    winner.since := a.since;
  end if;
  winner.history := coalesce(winner.history, other.history);
  if winner.missing_columns is null or other.columns is null then
    return winner;
  end if;
  for missing, filled in select * from jsonb_each(winner.missing_columns) loop
    continue when filled ->> 3 is not null;
    filler := coalesce(other.missing_columns -> missing, jsonb_build_array(other.version, other.at, other.commits));
    -- by version, not by time: the changes of one transaction have the same time
    if other.columns ? missing
       and (filled ->> 0 is null or muster.newer((filler ->> 0)::bigint, (filler ->> 1)::bigint, (filler ->> 2)::bigint,
                                         (filled ->> 0)::bigint, (filled ->> 1)::bigint, (filled ->> 2)::bigint)) then
      winner.columns := jsonb_set(winner.columns, array[missing], other.columns -> missing);
      winner.missing_columns := jsonb_set(winner.missing_columns, array[missing], filler);
    end if;
  end loop;
  return winner;
end $$;

-- Merges version `b`, which has just arrived, into the stored version `a`, and notes what it changed: before
-- PostgreSQL 18 a statement can't return the row as it was. A row is unresolved if it was only filled or left
-- unchanged, and its deciding columns came from another version; see missing-columns.ts.
create function muster.resolve(a muster.member, b muster.member) returns muster.member
language plpgsql immutable parallel safe as $$
declare
  winner muster.member := muster.merge(a, b);
begin
  winner.was_in_set := a.in_set;
  winner.was_fresh := muster.is_fresh(a.in_set, a.key_hash, a.history);
  winner.left_set := case when a.in_set and not (winner.in_set and winner.key_hash = a.key_hash) then a.key_hash end;
  winner.unresolved := a.version = winner.version and a.at = winner.at
    and (coalesce(winner.missing_columns @? '$.*[3]', false)
         or winner.missing_columns is not distinct from a.missing_columns
            and winner.history is not distinct from a.history);
  return winner;
end $$;

-- Returns whether a set with these counts is complete. Bit i - 1 = part index i has the rows it needs; then each
-- gate in turn sets bit 15 + its number if at least gate_need of the bits in gate_of are set, so that a gate can
-- refer to earlier ones: all(a, any(b, c)) is two gates. The last gate is the result.
-- Gates are used instead of a normal form, in which atLeast 10 of 16 would have 8,008 terms.
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

-- Returns the sum of two count vectors, which may differ in length.
create function muster.plus(a int[], b int[]) returns int[]
language plpgsql immutable parallel safe as $$
begin
  for part_index in 1 .. cardinality(b) loop
    a[part_index] := coalesce(a[part_index], 0) + b[part_index];
  end loop;
  return a;
end $$;

-- Returns counts without rows of these part indexes; nulls stand for no row.
create function muster.without(counts int[], part_indexes smallint[]) returns int[]
language plpgsql immutable parallel safe as $$
declare
  part_index smallint;
begin
  foreach part_index in array part_indexes loop
    if part_index is not null then
      counts[part_index] := counts[part_index] - 1;
    end if;
  end loop;
  return counts;
end $$;

-- The runs that are leased now, with the worker and the number of the attempt. A lease whose token is not that of
-- its set has ended.
create view muster.leased as
select l.function, held.key, e.key_hash, held.revision, e.token, e.attempt, held.lost, e.late, e.start, l.worker, l.claim, l.since
from muster.lease l
cross join unnest(l.keys, l.tokens, l.attempts, l.lates, l.starts) as e (key_hash, token, attempt, late, start)
cross join lateral (
  -- by its primary key, regardless of the planner's estimates
  select s.key, s.revision, s.lost from muster.sets s
  where s.function = l.function and s.key_hash = e.key_hash and s.token = e.token and s.state = 'pending'
  limit 1
) held;

-- Returns set `s`, which has been complete before, after a statement that changes it by `d`: its counts, whether it
-- is complete by the rule of `f`, and what that means for its run. (ingest-changes.sql itself changes the others.) `d` has the differences of the counts and the number of changes.
--
-- Its run is changed as follows.
--
--   pending   It stays so, even if the set is incomplete now. Whether its run is queued or leased is not known
--             here: a leased attempt goes on, because it began while the set was complete, and the changes are
--             late; a queued one is found incomplete by the claim, and rests (claim-runs.sql).
--   resting   If the set is complete again, the run begins.
--   failed    If a row of the set changed and the set is complete, the run begins with its first attempt.
--   done      It stays so. The changes are late, and counted.
--
-- A set whose rows all turn out to be history is done without a run, unless an attempt has begun. One that began
-- after this snapshot commits nothing.
--
-- The run begins under the next token: a lease or a row of the queue with an older one is void. Whether it is
-- leased or queued is decided by the caller, in the same statement.
create function muster.next_set(s muster.sets, d muster.sets, f muster.function) returns muster.sets
language plpgsql stable parallel safe as $$
begin
  if s.key <> d.key then
    raise exception using errcode = '23505', message = format('the keys %L and %L have the same hash', s.key, d.key);
  end if;
  s.was_complete := s.complete;
  s.was_fresh := s.fresh > 0;
  s.was_failed := false;
  s.begins := false;
  s.purged := false;
  s.counts := muster.plus(s.counts, d.counts);
  s.fresh := s.fresh + d.fresh;
  s.complete := muster.complete(s.counts, f.need, f.gate_need, f.gate_of);
  if s.complete and s.fresh = 0 and s.attempt = 0 and s.state is distinct from 'done'
     and not (s.state = 'pending'
              and exists (select from muster.leased l where l.function = s.function and l.key_hash = s.key_hash)) then
    if s.state = 'pending' then
      s.token := s.token + 1;
    end if;
    s.state := 'done';
    s.revision := 0;
    s.completed_at := now();
    s.finished_at := now();
    s.due_at := null;
  elsif s.state = 'resting' then
    s.begins := s.complete;
  elsif s.state = 'failed' then
    s.was_failed := s.complete and (d.changes > 0 or not s.was_complete);
    s.begins := s.was_failed;
    if s.begins then
      s.attempt := 0;
      s.finished_at := null;
      s.error := null;
    end if;
  else
    s.late := s.late + d.changes;
  end if;
  if s.begins then
    s.state := 'pending';
    s.token := s.token + 1;
    s.due_at := now();
    s.late := 0;
  end if;
  return s;
end $$;

-- Aborts a transaction of a worker that does not own the run.
create function muster.fence(owned boolean) returns void
language plpgsql as $$
begin
  if not owned then
    raise exception using errcode = 'MU001', message = 'another worker holds this run';
  end if;
end $$;

-- Escapes a key for use in the id of an event, which may become an HTTP header; src/runs/run-id.ts explains which
-- characters, and does the same for the events of handlers.
create function muster.header_safe(key text) returns text
language sql stable parallel safe
return case when key collate "C" ~ '^[ -}]*$' then key else (
  select string_agg(
    case when c collate "C" ~ '[ -}]' then c
         else regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '~\1', 'g') end, '' order by nth)
  from regexp_split_to_table(key, '') with ordinality as t (c, nth)
) end;

-- The run of each set that has been complete at least once, for people and for the console. The token is that of
-- the newest lease: a queued run will have the next one.
create view muster.run as
select s.function, s.key, s.key_hash, s.revision, s.complete,
       case when l.token is not null then 'running' when s.state in ('pending', 'resting') then 'ready'
            else s.state::text end as state,
       s.token - (s.state = 'pending' and l.token is null or s.state = 'resting')::int as token,
       coalesce(l.attempt, s.attempt) as attempt, s.lost,
       coalesce(l.start, case when s.start_recorded then 'recorded'::muster.start end) as start, l.worker, s.due_at,
       s.completed_at as created_at, coalesce(l.since, s.started_at) as started_at, s.finished_at,
       case when l.token is not null then s.late - l.late when s.state in ('done', 'failed') then s.late else 0 end as late, s.error
from muster.sets s
left join muster.leased l on l.function = s.function and l.key_hash = s.key_hash
where s.state is not null;

-- The status of each set, and since when it has had that status. A waiting set waits since the arrival of the
-- oldest of its rows.
create view muster.set_status as
select f.name as function, s.key, s.key_hash, s.counts, derived.status,
       (o.key_hash is not null and derived.status = 'waiting') as overdue,
       case derived.status
         when 'waiting' then (select min(m.since) from muster.member m where m.function = s.function and m.key_hash = s.key_hash and m.in_set)
         when 'complete' then s.completed_at
         when 'running' then l.since
         else s.finished_at
       end as since,
       s.revision, case when s.state is not null then coalesce(l.attempt, s.attempt) end as attempt, s.error, o.due_at as overdue_at
from muster.sets s
join muster.function f on f.id = s.function
left join muster.leased l on l.function = s.function and l.key_hash = s.key_hash
left join muster.overdue o on o.function = s.function and o.key_hash = s.key_hash
cross join lateral (
  select case when l.token is not null then 'running'
              when s.state = 'done' then 'done'
              when s.state is null or not s.complete then 'waiting'
              when s.state = 'failed' then 'failed'
              else 'complete' end as status
) derived;

-- The due work of each function, from which KEDA computes the number of pods. One row per registered function,
-- with zeros if there is no work. It is queried every few seconds by a role that can read nothing else (the view
-- reads with its owner's rights), so it must be cheap regardless of the size of the tables.
--
--   runs      Running, or due and waiting for a slot. At most 10,000, so that a backlog is not counted
--             completely, and at most the function's concurrency, because one more pod could not start any of
--             the others. The run of a dead pod counts until another one takes it over. Failed runs, runs that
--             wait for their next attempt, and due runs of a paused function don't count.
--   deadlines 1 if one is due.
--   events    1 if an outgoing event is due. Not their number: they pile up while the sink is down, and one
--             pod is enough to find out that it is up again.
--   evaluations  1 if sets have yet to be evaluated by a new rule.
--   total     The sum.
--
-- KEDA's connection does not pin its plans as Muster's own connections do. If the planner estimates that many
-- rows match, it scans a table from the beginning until it finds one, which takes seconds if there is none. A
-- query for the first row in the order of an index leaves it no choice.
create view muster.due as
select f.name as function, work.runs, work.deadlines, work.events, work.evaluations,
       work.runs + work.deadlines + work.events + work.evaluations as total
from muster.function f
cross join lateral (
  select count(*) as n from (
    select from muster.leased l where l.function = f.id limit 10000
  ) first
) leased
cross join lateral (
  select count(*) as n from (
    select from muster.queue q
    where q.function = f.id and q.due_at <= now() and not f.paused
    order by q.due_at
    limit 10000
  ) first
) waiting
cross join lateral (
  select least(leased.n + waiting.n, coalesce(f.concurrency, 10000), 10000)::int as runs,
         coalesce((select d.due_at <= now() from muster.deadline d where d.function = f.id
                   order by d.due_at limit 1), false)::int as deadlines,
         (coalesce((select o.due_at <= now() from muster.outbox o
                   where o.function = f.id and o.sent_at is null and o.failed_at is null
                   order by o.due_at limit 1), false)
          and coalesce(f.sink_missing_until <= now(), true))::int as events,
         (f.evaluated_generation < f.generation)::int as evaluations
) work;
