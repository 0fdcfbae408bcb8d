-- Ingests a batch of changes: first the members, then the sets whose counts they change, with their runs, then
-- the queue, leases and deadlines of these. One statement, one round trip.
--
-- All parts of a statement share one snapshot. Only INSERT … ON CONFLICT DO UPDATE locks and reads the newest
-- committed row, so every step that depends on a stored row is an upsert, and no large table is queried.
-- Counting the members with a SELECT instead loses sets: when two workers ingest the last two parts at the same
-- moment, neither sees the other's (299 of 320 sets never ran). Withdrawing a run with a plain UPDATE leaves runs
-- due for incomplete sets (618 of 11,080 histories). For the same reason nothing is withdrawn from the queue
-- here: the row may have been inserted after this snapshot. The claim drops it.
--
-- The "order by" before each upsert is the lock order of 001_tables.sql. A batch has one row per (function,
-- part_index, source, id): the caller keeps the newest.
--
-- $1  function ids and $2 registrations of the caller's definitions. Nothing is ingested unless every one of
--     them exists and is the newest. A check for superseded definitions alone is not enough: a worker whose
--     rows were deleted (the database was recreated, or a failover lost the registration) answered every
--     event with "ingested" and stored nothing.
-- $3  function  $4 part index  $5 id  $6 version  $7 at  $8 hash of its key  $9 in its set
-- $10 hash of the key of the set in which the initial snapshot found it
-- $11 columns, or null and $24 how they follow from key, id and filters  $12 missing columns  $18 source  $19 position of the last commit before it
-- $20 whether the rows are removed because their source is forgotten
-- $13 function and $14 hash of the key of sets to evaluate again, without a change
-- $15 worker  $16 maximum number of new runs that are created leased  $25 how many of these start at once
-- $26 functions of whose runs none starts at once
-- $23 claim: names these leases
-- $17 trace contexts of $3 to $12; empty if no event is traced
-- $21 hashes of the keys in $8, each once, in order, and $22 the keys. Of a set that a row leaves, only the hash
--     is known, but it exists.
with barrier as (
  delete from muster.barrier -- see its comment in the schema
),
definitions as materialized (
  select f.id, f as definition, f.need, f.gate_need, f.gate_of, f.forgotten_revision + 1 as next_revision
  from unnest($1::int[], $2::uuid[]) as mine (id, registration)
  join muster.function f on f.id = mine.id and f.registration = mine.registration
),
-- Rows of a source that was forgotten in the meantime would be ingested under an id that is never queried.
forgotten as materialized (
  select exists (
    select from (select distinct source from unnest($18::int[]) as mine (source)) mine
    where not exists (select from muster.source known where known.id = mine.source)
  ) and not $20::boolean as is_forgotten
),
current as materialized (
  select count(*) = cardinality($1::int[]) and not (select is_forgotten from forgotten) as is_current from definitions
),
members as (
  insert into muster.member as m
    (function, part_index, source, id, version, at, commits, key_hash, in_set, history, literals, columns, missing_columns, since, gone_on, trace)
  -- A row below the truncate version was deleted by the truncate: its earlier changes that arrive later are stale.
  select c.function, c.part_index, c.source, c.id,
         case when c.truncated then c.truncate_version else c.version end,
         case when c.truncated then c.truncate_at else c.at end,
         case when c.truncated then c.truncate_commits else c.commits end,
         case when c.truncated then null else c.key_hash end, c.in_set and not c.truncated, c.history,
         case when c.truncated then null else c.literals end,
         case when c.truncated then null else c.columns end,
         case when c.truncated then null else c.missing_columns end, now(),
         case when c.truncated or not c.in_set then current_date end, c.trace
  from (
    select c.*, t.version as truncate_version, t.at as truncate_at, t.commits as truncate_commits,
           t.version is not null and muster.newer(t.version, t.at, t.commits, c.version, c.at, c.commits) as truncated
    from unnest($3::int[], $4::smallint[], $5::text[], $6::bigint[], $7::bigint[], $8::uuid[],
                $9::boolean[], $10::uuid[], $11::jsonb[], $12::jsonb[], $17::bytea[], $18::int[], $19::bigint[], $24::smallint[])
           as c (function, part_index, id, version, at, key_hash, in_set, history, columns, missing_columns, trace, source, commits, literals)
    join muster.part p on p.function = c.function and p.part_index = c.part_index
    left join muster.truncation t on t.function = c.function and t.part_index = c.part_index and t.source = c.source
    offset 0 -- otherwise `truncated` is computed again for every column that depends on it
  ) c
  where (select is_current from current)
  order by c.function, c.part_index, c.source, c.id collate "C"
  on conflict (function, part_index, source, id) do update
  set (version, at, commits, key_hash, in_set, purged, history, literals, columns, missing_columns, since, gone_on, trace,
       was_in_set, was_fresh, left_set, unresolved) =
      (select v.version, v.at, v.commits, v.key_hash, v.in_set, v.purged, v.history, v.literals, v.columns, v.missing_columns, v.since, v.gone_on, v.trace,
              v.was_in_set, v.was_fresh, v.left_set, v.unresolved
       from muster.resolve(m, excluded) v)
  where muster.newer(excluded.version, excluded.at, excluded.commits, m.version, m.at, m.commits)
     -- a row without its columns leaves such a row unresolved, and is sent again with them
     or m.missing_columns is not null and (excluded.literals is not null or muster.fills(m, excluded))
     -- what the initial snapshot found counts even if it arrives after a change of the row
     or excluded.history is not null and m.history is null
  returning m.function, m.part_index, m.source, m.id, m.unresolved, m.was_in_set, m.was_fresh, m.left_set,
            m.key_hash, m.in_set, m.history
),
moves as (
  select function, part_index, coalesce(left_set, key_hash) as key_hash, -1 as n, -was_fresh::int as fresh,
         (left_set is not null)::int as changes
  from members where was_in_set
  union all
  select function, part_index, key_hash, 1, muster.is_fresh(in_set, key_hash, history)::int, 1 from members where in_set
),
deltas as (
  -- A row that changes within its set adds up to 0 but still touches the set: a failed run may start again.
  select function, key_hash, sum(fresh)::int as fresh, sum(changes)::int as changes, max(part_index) as length,
         array[
           coalesce(sum(n) filter (where part_index = 1), 0)::int, coalesce(sum(n) filter (where part_index = 2), 0)::int,
           coalesce(sum(n) filter (where part_index = 3), 0)::int, coalesce(sum(n) filter (where part_index = 4), 0)::int,
           coalesce(sum(n) filter (where part_index = 5), 0)::int, coalesce(sum(n) filter (where part_index = 6), 0)::int,
           coalesce(sum(n) filter (where part_index = 7), 0)::int, coalesce(sum(n) filter (where part_index = 8), 0)::int,
           coalesce(sum(n) filter (where part_index = 9), 0)::int, coalesce(sum(n) filter (where part_index = 10), 0)::int,
           coalesce(sum(n) filter (where part_index = 11), 0)::int, coalesce(sum(n) filter (where part_index = 12), 0)::int,
           coalesce(sum(n) filter (where part_index = 13), 0)::int, coalesce(sum(n) filter (where part_index = 14), 0)::int,
           coalesce(sum(n) filter (where part_index = 15), 0)::int, coalesce(sum(n) filter (where part_index = 16), 0)::int
         ] as counts
  from (
    select function, key_hash, part_index, n, fresh, changes from moves
    union all
    select function, key_hash, 1, 0, 0, 0 from unnest($13::int[], $14::uuid[]) as again (function, key_hash)
    where (select is_current from current)
  ) touched
  group by function, key_hash
),
counted as (
  insert into muster.sets as s
    (function, key_hash, key, counts, fresh, changes, complete, state, begins, revision, token, completed_at, due_at, finished_at)
  -- above all forgotten runs; see forget-runs.sql
  select function, key_hash, key, counts, fresh, changes, complete,
         case when begins then 'pending' when complete then 'done' end::muster.run_state, begins,
         case when begins then next_revision else 0 end, (definition).forgotten_token + begins::int,
         case when complete then now() end, case when begins then now() end, case when complete and not begins then now() end
  from (
    select d.function, d.key_hash, d.fresh, d.changes, f.definition, f.next_revision, named.key, sized.counts, c.complete,
           c.complete and d.fresh > 0 as begins
    from deltas d
    join definitions f on f.id = d.function,
         lateral (select width_bucket(d.key_hash, $21::uuid[]) as nth offset 0) as found,
         lateral (select case when ($21::uuid[])[found.nth] = d.key_hash then ($22::text[])[found.nth] end as key) as named,
         lateral (select d.counts[1:greatest(d.length, cardinality(f.need))] as counts offset 0) as sized,
         lateral (select muster.complete(sized.counts, f.need, f.gate_need, f.gate_of) offset 0) as c (complete)
    offset 0
  ) proposed
  order by function, key_hash
  on conflict (function, key_hash) do update
  set (counts, fresh, complete, state, revision, token, attempt, late, completed_at, due_at, finished_at, error, purged,
       was_complete, was_fresh, was_failed, begins) =
      -- A set that has never been complete, which most are, without the function: it takes three times as long.
      (select waiting.counts, waiting.fresh, waiting.complete,
              case when waiting.begins then 'pending' when waiting.complete then 'done' end::muster.run_state,
              case when waiting.begins then waiting.next_revision else s.revision end, s.token + waiting.begins::int,
              s.attempt, case when waiting.begins then 0 else s.late end,
              case when waiting.complete then now() end, case when waiting.begins then now() end,
              case when waiting.complete and not waiting.begins then now() end, s.error, false,
              s.complete, s.fresh > 0, false, waiting.begins
       from (
         select sum.counts, sum.fresh, c.complete, c.complete and sum.fresh > 0 as begins, f.next_revision
         from definitions f,
              lateral (select muster.plus(s.counts, excluded.counts) as counts, s.fresh + excluded.fresh as fresh offset 0) as sum,
              lateral (select muster.complete(sum.counts, f.need, f.gate_need, f.gate_of) offset 0) as c (complete)
         where f.id = s.function and s.state is null and coalesce(s.key = excluded.key, true)
         offset 0
       ) waiting
       union all
       select v.counts, v.fresh, v.complete, v.state, v.revision, v.token, v.attempt, v.late, v.completed_at, v.due_at, v.finished_at, v.error, v.purged,
              v.was_complete, v.was_fresh, v.was_failed, v.begins
       from definitions f, muster.next_set(s, excluded, f.definition) v
       where f.id = s.function and (s.state is not null or s.key <> excluded.key))
  returning s.function, s.key_hash, s.key, s.fresh, s.was_fresh, s.complete, s.was_complete, s.was_failed, s.begins,
            s.revision, s.token, s.attempt, s.lost, s.late
),
beginning as (
  select c.*,
         -- A concurrency limit over all workers is enforced by claim-runs.sql alone. A run whose lease was lost is
         -- leased only there, too: there its start is recorded before the attempt counts.
         (f.definition).concurrency is null and not (f.definition).paused and c.lost = 0 as leasable
  from counted c join definitions f on f.id = c.function
  where c.begins
),
numbered as (
  select *, row_number() over (partition by leasable order by function, key_hash) as nth from beginning
),
begun as materialized (
  select *, leasable and nth <= $16::int as leased, (case when nth > $25::int or function = any ($26::int[]) then 'waiting' else 'counts' end)::muster.start as start
  from numbered
),
queued as (
  insert into muster.queue as q (function, due_at, key_hash, token, is_suspect)
  select function, now(), key_hash, token, lost > 1 from begun where not leased
  order by function, key_hash
  on conflict (function, due_at, key_hash) do update set token = excluded.token
),
leases as (
  insert into muster.lease (claim, chunk, function, worker, since, keys, tokens, attempts, lates, starts)
  select $23::uuid, row_number() over (), function, $15::uuid, now(), array_agg(key_hash order by n), array_agg(token order by n),
         array_agg(attempt + 1 order by n), array_agg(late order by n), array_agg(start order by n)
  from (select *, row_number() over (partition by function order by key_hash) as n from begun where leased) b
  group by function, (n - 1) / 48
),
-- A row inserted by a statement after this snapshot stays; its token is stale by now.
revived as (
  delete from muster.queue
  where ctid = any (array(
    select q.row from counted c, lateral (
      select q.ctid as row from muster.queue q
      where q.function = c.function and q.due_at = 'infinity' and q.key_hash = c.key_hash
      offset 0 -- one lookup for each set, regardless of the planner's estimates
    ) q where c.was_failed))
),
deadlines as (
  -- A set gets a deadline with its first row, and again when it becomes incomplete.
  insert into muster.deadline (function, due_at, keys)
  select c.function, now() + (f.definition).overdue_after, array_agg(c.key_hash)
  from counted c join definitions f on f.id = c.function
  where (f.definition).overdue_after is not null and c.fresh > 0 and not c.complete
    and (not c.was_fresh or c.was_complete or c.key_hash = any ($14::uuid[]))
  group by c.function, (f.definition).overdue_after
),
in_time as (
  -- Deletes the row also if the set becomes incomplete: the statement that completed it may have waited for
  -- the report without seeing it.
  delete from muster.overdue o using counted c
  where (c.complete <> c.was_complete or not c.was_fresh and c.fresh > 0)
    and o.function = c.function and o.key_hash = c.key_hash
)
select (select is_current from current) as is_current,
       (select is_forgotten from forgotten) as is_forgotten,
       (select count(*)::int from members) as ingested,
       (select coalesce(json_agg(json_build_array(function, n)), '[]')
        from (select function, count(*)::int as n from counted
              where complete and not was_complete group by function) as c) as completed,
       (select coalesce(json_agg(json_build_array(function, key, revision, token, attempt + 1, lost, key_hash, $23::uuid, late, now())), '[]')
        from begun where leased) as leases,
       (select json_agg(json_build_array(function, part_index, source, id)) from members where unresolved) as unresolved;
