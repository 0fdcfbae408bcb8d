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

-- Returns whether a row counts as new in its set. It does not if the initial snapshot already found it there:
-- such a row is history, even if it has changed since. The hash represents the key (8 bytes instead of 60).
create function muster.is_fresh(in_set boolean, key text, history bigint) returns boolean
language sql immutable parallel safe
return in_set and (history is null or history <> hashtextextended(key, 0));

-- Returns whether version `b`, even if it is not newer, carries a column that `a` lacks, or has from a version
-- that is older than the one in `b`.
create function muster.fills(a muster.member, b muster.member) returns boolean
language sql immutable parallel safe
return exists (
  select from jsonb_each(a.missing_columns) as missing (name, filled),
       lateral (select coalesce(b.missing_columns -> missing.name, jsonb_build_array(b.version, b.at, b.commits)) offset 0) as f (filler)
  where b.columns ? missing.name
    and (missing.filled = '0'
         or muster.newer((f.filler ->> 0)::bigint, (f.filler ->> 1)::bigint, (f.filler ->> 2)::bigint,
                         (missing.filled ->> 0)::bigint, (missing.filled ->> 1)::bigint, (missing.filled ->> 2)::bigint))
);

-- Merges version `b`, which has just arrived, into the stored version `a`. Returns the newer one, its missing
-- columns (those the source did not send) filled with the newest value that either version carries. A missing
-- column that is a deciding one is not filled: the key and the filter's result would have to follow. Of two rows
-- of the same version, returns the one whose missing columns are filled by newer versions: it was built with
-- knowledge of the other (missing-columns.ts).
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
    -- `b` was built without knowing the stored row: its change is unresolved, and is built again
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
    -- by version, not by time: the changes of one transaction have the same time
    if other.columns ? missing
       and (filled = '0' or muster.newer((filler ->> 0)::bigint, (filler ->> 1)::bigint, (filler ->> 2)::bigint,
                                         (filled ->> 0)::bigint, (filled ->> 1)::bigint, (filled ->> 2)::bigint)) then
      winner.columns := jsonb_set(winner.columns, array[missing], other.columns -> missing);
      winner.missing_columns := jsonb_set(winner.missing_columns, array[missing], filler);
    end if;
  end loop;
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

-- Returns the sum of two count vectors. Written out so that it is inlined: with a subquery over unnest it costs
-- a tenth of the intake rate.
create function muster.plus(a int[], b int[]) returns int[]
language sql immutable parallel safe
return array[
  a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4],
  a[5] + b[5], a[6] + b[6], a[7] + b[7], a[8] + b[8],
  a[9] + b[9], a[10] + b[10], a[11] + b[11], a[12] + b[12],
  a[13] + b[13], a[14] + b[14], a[15] + b[15], a[16] + b[16]
];

-- Returns the next state of run `r` when a change of its set proposes `p` (whether the set is complete, and
-- 'running' if the proposing worker has a free slot). A run that is leased or done keeps its state: the attempt
-- began, or ended, while the set was complete; the `changes` are late, and counted. A failed run whose set
-- changes may start again from its first attempt.
create function muster.next_run(r muster.run, p muster.run, changes int) returns muster.run
language plpgsql stable parallel safe as $$
begin
  r.complete := p.complete;
  if r.state in ('running', 'done') then
    r.late := r.late + changes;
    return r;
  end if;
  if p.state = 'done' and p.complete and r.attempt = 0 and r.started_at is null then
    -- the whole set was in the initial snapshot, which is known only now, and nothing has started
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
  -- a suspect (lost with its process more than once) is leased only by claim-runs.sql, one at a time
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

-- The status of each set, and since when it has had that status. A waiting set waits since the arrival of the
-- oldest of its rows.
create view muster.set_status as
select f.name as function, s.key, derived.status,
       (o.key is not null and derived.status = 'waiting') as overdue,
       case derived.status
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
left join (
  -- leased runs are few, and found by the index on worker
  select r.function, count(*) as n from muster.run r
  where r.worker is not null and r.state = 'running'
  group by r.function
) leased on leased.function = f.id
cross join lateral (
  select count(*) as n from (
    select from muster.run r
    where r.function = f.id and r.state = 'ready' and r.complete and r.due_at <= now() and not f.paused
    order by r.due_at
    limit 10000
  ) first
) waiting
cross join lateral (
  select least(coalesce(leased.n, 0) + waiting.n, coalesce(f.concurrency, 10000), 10000)::int as runs,
         coalesce((select d.due_at <= now() from muster.deadline d where d.function = f.id
                   order by d.due_at limit 1), false)::int as deadlines,
         (coalesce((select o.due_at <= now() from muster.outbox o
                   where o.function = f.id and o.sent_at is null and o.failed_at is null
                   order by o.due_at limit 1), false)
          and coalesce(f.sink_missing_until <= now(), true))::int as events,
         (f.evaluated_generation < f.generation)::int as evaluations
) work;
