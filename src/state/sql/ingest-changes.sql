-- Ingests a batch of changes: first the members, then the counts of their sets, then the runs of sets that
-- became complete or incomplete, then their deadlines. One statement, one round trip.
--
-- All parts of a statement share one snapshot. Only INSERT … ON CONFLICT DO UPDATE locks and reads the newest
-- committed row (and RETURNING old.* is exactly that row), so every step that depends on a stored row is an
-- upsert, and no large table is queried. Counting the members with a SELECT instead loses sets: when two
-- workers ingest the last two parts at the same moment, neither sees the other's (299 of 320 sets never ran).
-- Withdrawing a run with a plain UPDATE leaves runs due for incomplete sets (618 of 11,080 histories).
--
-- The "order by" before each upsert is the lock order of 001_tables.sql. A batch has one row per (function,
-- part_index, source, id): the caller keeps the newest.
--
-- $1  function ids and $2 registrations of the caller's definitions. Nothing is ingested unless every one of
--     them exists and is the newest. A check for superseded definitions alone is not enough: a worker whose
--     rows were deleted (the database was recreated, or a failover lost the registration) answered every
--     event with "ingested" and stored nothing.
-- $3  function  $4 part index  $5 id  $6 version  $7 at  $8 key  $9 in its set
-- $10 key of the set in which the initial snapshot found it
-- $11 columns  $12 missing columns  $18 source  $19 position of the last commit before it
-- $20 whether the rows are removed because their source is forgotten
-- $13 function and $14 key of sets to evaluate again, without a change
-- $15 worker  $16 free handler slots: this many new runs are created leased
-- $17 trace contexts of $3 to $12; empty if no event is traced
with barrier as (
  delete from muster.barrier -- see its comment in the schema
),
definitions as materialized (
  select f.*
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
    (function, part_index, source, id, version, at, commits, key, in_set, history, columns, missing_columns, since, trace)
  -- A row below the truncate version was deleted by the truncate: its earlier changes that arrive later are stale.
  select c.function, c.part_index, c.source, c.id,
         case when c.truncated then c.truncate_version else c.version end,
         case when c.truncated then c.truncate_at else c.at end,
         case when c.truncated then c.truncate_commits else c.commits end,
         case when c.truncated then null else c.key end, c.in_set and not c.truncated,
         hashtextextended(c.history, 0),
         case when c.truncated then null else c.columns end,
         case when c.truncated then null else c.missing_columns end, now(), c.trace
  from (
    select c.*, t.version as truncate_version, t.at as truncate_at, t.commits as truncate_commits,
           t.version is not null and muster.newer(t.version, t.at, t.commits, c.version, c.at, c.commits) as truncated
    from unnest($3::int[], $4::smallint[], $5::text[], $6::bigint[], $7::bigint[], $8::text[],
                $9::boolean[], $10::text[], $11::jsonb[], $12::jsonb[], $17::bytea[], $18::int[], $19::bigint[])
           as c (function, part_index, id, version, at, key, in_set, history, columns, missing_columns, trace, source, commits)
    join muster.part p on p.function = c.function and p.part_index = c.part_index
    left join muster.truncation t on t.function = c.function and t.part_index = c.part_index and t.source = c.source
    offset 0 -- otherwise `truncated` is computed again for every column that depends on it
  ) c
  where (select is_current from current)
  order by c.function, c.part_index, c.source, c.id collate "C"
  on conflict (function, part_index, source, id) do update
  set (version, at, commits, key, in_set, purged, history, columns, missing_columns, since, trace) =
      (select v.version, v.at, v.commits, v.key, v.in_set, v.purged, v.history, v.columns, v.missing_columns, v.since, v.trace
       from muster.resolve(m, excluded) v)
  where muster.newer(excluded.version, excluded.at, excluded.commits, m.version, m.at, m.commits)
     or m.missing_columns is not null and muster.fills(m, excluded)
     -- what the initial snapshot found counts even if it arrives after a change of the row
     or excluded.history is not null and m.history is null
  returning m.function, m.part_index, m.source, m.id,
            -- the row was only filled or left unchanged, and its deciding columns came from another version; see
            -- missing-columns.ts
            old.version = new.version and old.at = new.at
              and (new.missing_columns @? '$.*[3]' or new.missing_columns is not distinct from old.missing_columns
                     and new.history is not distinct from old.history) as unresolved,
            case when old.in_set then old.key end as old_key,
            coalesce(muster.is_fresh(old.in_set, old.key, old.history), false) as old_fresh,
            case when new.in_set then new.key end as new_key,
            muster.is_fresh(new.in_set, new.key, new.history) as new_fresh
),
moves as (
  select function, part_index, old_key as key, -1 as n, -old_fresh::int as fresh, (old_key is distinct from new_key)::int as changes
  from members where old_key is not null
  union all
  select function, part_index, new_key, 1, new_fresh::int, 1 from members where new_key is not null
),
deltas as (
  -- A row that changes within its set adds up to 0 but still touches the set: a failed run may start again.
  select function, key, sum(fresh)::int as fresh, sum(changes)::int as changes,
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
    select function, key, part_index, n, fresh, changes from moves
    union all
    select function, key, 1, 0, 0, 0 from unnest($13::int[], $14::text[]) as again (function, key)
    where (select is_current from current)
  ) touched
  group by function, key
),
counted as (
  insert into muster.sets as s (function, key, counts, fresh)
  select function, key, counts, fresh from deltas order by function, key collate "C"
  on conflict (function, key) do update
  set counts = muster.plus(s.counts, excluded.counts), fresh = s.fresh + excluded.fresh
  returning s.function, s.key, old.counts as old_counts, coalesce(old.fresh, 0) as old_fresh, new.counts, new.fresh
),
evaluated as (
  select s.function, s.key, s.fresh, s.old_fresh, f.overdue_after, f.forgotten_token, f.forgotten_revision,
         c.complete,
         coalesce(muster.complete(s.old_counts, f.need, f.gate_need, f.gate_of), false) as was_complete,
         -- a concurrency limit over all workers is enforced by claim-runs.sql alone
         f.concurrency is null and not f.paused and s.fresh > 0
           and c.complete as leasable
  from counted s join definitions f on f.id = s.function,
       lateral (select muster.complete(s.counts, f.need, f.gate_need, f.gate_of) offset 0) as c (complete)
),
several as materialized (
  -- needed only for changes that may be late, so it is rarely computed
  select jsonb_object_agg(function || '/' || key, changes) as changes from deltas where changes > 1
),
runs as (
  insert into muster.run as r
    (function, key, revision, complete, state, token, attempt, worker, due_at, created_at, started_at, finished_at)
  -- above all forgotten runs; see forget-runs.sql
  select function, key, case when fresh > 0 then forgotten_revision + 1 else 0 end, complete,
         case when fresh = 0 then 'done' when leased then 'running' else 'ready' end::muster.run_state,
         forgotten_token + leased::int, leased::int, case when leased then $15::uuid end,
         now(), now(), case when leased then now() end, case when fresh = 0 then now() end
  from (
    -- free slots go to sets that were not complete before; most of the others have already run
    select *, leasable and row_number() over (partition by leasable order by was_complete, function, key) <= $16::int as leased
    from evaluated
  ) e
  -- Of the sets that are evaluated again by a changed rule, only those matter whose run differs;
  -- a run that is not in this snapshot was evaluated by the same rule.
  where case when key = any ($14::text[])
             then complete <> coalesce((select old.complete from muster.run old where old.function = e.function and old.key = e.key), false)
             else complete or was_complete end
  order by function, key collate "C"
  on conflict (function, key) do update
  set (revision, complete, state, token, attempt, unstarted, worker, due_at, started_at, finished_at, late, error) =
      (select v.revision, v.complete, v.state, v.token, v.attempt, v.unstarted, v.worker, v.due_at, v.started_at, v.finished_at,
              v.late, v.error
       from muster.next_run(r, excluded, coalesce(((select changes from several) ->> (r.function || '/' || r.key))::int, 1)) v)
  where r.complete <> excluded.complete or r.state <> 'ready' or excluded.state = 'done'
  returning new.function, new.key, new.revision, new.token, new.attempt,
            new.state, new.state = 'running' and new.token > coalesce(old.token, 0) as leased
),
deadlines as (
  -- A set gets a deadline with its first row, and again when it becomes incomplete.
  insert into muster.deadline (function, due_at, keys)
  select function, now() + overdue_after, array_agg(key) from evaluated
  where overdue_after is not null and fresh > 0 and not complete
    and (old_fresh = 0 or was_complete or key = any ($14::text[]))
  group by function, overdue_after
),
in_time as (
  -- Deletes the row also if the set becomes incomplete: the statement that completed it may have waited for
  -- the report without seeing it.
  delete from muster.overdue o using evaluated e
  where (e.complete <> e.was_complete or e.old_fresh = 0 and e.fresh > 0)
    and o.function = e.function and o.key = e.key
)
select (select is_current from current) as is_current,
       (select is_forgotten from forgotten) as is_forgotten,
       (select count(*)::int from members) as ingested,
       (select coalesce(json_agg(json_build_array(function, n)), '[]')
        from (select function, count(*)::int as n from evaluated
              where complete and not was_complete group by function) as c) as completed,
       (select coalesce(json_agg(json_build_array(function, key, revision, token, attempt)), '[]')
        from runs where leased) as leases,
       (select json_agg(json_build_array(function, part_index, source, id)) from members where unresolved) as unresolved;
