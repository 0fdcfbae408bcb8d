-- Ingests a batch of changes: members, then what that does to the counts of their sets, then the runs
-- of sets that became complete or stopped being so, then their deadlines. One statement, one round trip.
--
-- All parts of a statement share one snapshot. Only INSERT … ON CONFLICT DO UPDATE locks and reads
-- the newest committed row (and RETURNING old.* is exactly that row), so every step that depends on
-- a stored row is an upsert, and nothing is read from a big table. Counting the members with a
-- SELECT instead loses sets: when two pods bring the last two parts at the same moment, neither sees
-- the other's (299 of 320 sets never ran). Withdrawing a run with a plain UPDATE leaves runs due for
-- incomplete sets (618 of 11,080 histories).
--
-- "order by" before each upsert is the lock order of 001_tables.sql. One row per (function, part_index, source,
-- id) in a batch: the caller keeps the newest.
--
-- $1  function ids and $2 registrations of the caller's definitions. Unless every one of them is there and is
--     the newest, nothing is ingested: a definition that was superseded, and equally one whose row is gone (the
--     database was made anew, or a failover lost the registration). Looking for superseded rows only, a worker
--     whose rows were gone answered every event with "ingested" and stored nothing.
-- $3  function  $4 part index  $5 id  $6 version  $7 at  $8 key  $9 in its set
-- $10 the key of the set in which the initial snapshot found it
-- $11 columns  $12 holes  $18 source  $19 position of the last commit before it
-- $20 the rows are removed because their source is forgotten
-- $13 function and $14 key of sets to evaluate again, without a change
-- $15 worker  $16 free handler slots: this many new runs are created leased
-- $17 trace contexts of $3 to $12; empty where no event is traced
with barrier as (
  delete from muster.barrier -- its comment in the schema says why
),
f as materialized (
  select f.*
  from unnest($1::int[], $2::uuid[]) as mine (id, registration)
  join muster.function f on f.id = mine.id and f.registration = mine.registration
),
-- Rows of a source that somebody had forgotten meanwhile would be ingested under an id that nobody asks for.
forgotten as materialized (
  select exists (
    select from (select distinct source from unnest($18::int[]) as mine (source)) mine
    where not exists (select from muster.source known where known.id = mine.source)
  ) and not $20::boolean as is_forgotten
),
current as materialized (
  select count(*) = cardinality($1::int[]) and not (select is_forgotten from forgotten) as is_current from f
),
m as (
  insert into muster.member as m
    (function, part_index, source, id, version, at, commits, key, in_set, history, columns, missing_columns, since, trace)
  -- a row below a truncate is gone since that: what else of its life comes later is stale by that
  select c.function, c.part_index, c.source, c.id,
         case when c.cut then c.cut_version else c.version end, case when c.cut then c.cut_at else c.at end,
         case when c.cut then c.cut_commits else c.commits end,
         case when c.cut then null else c.key end, c.in_set and not c.cut,
         hashtextextended(c.history, 0),
         case when c.cut then null else c.columns end, case when c.cut then null else c.missing_columns end, now(), c.trace
  from (
    select c.*, t.version as cut_version, t.at as cut_at, t.commits as cut_commits,
           t.version is not null and muster.newer(t.version, t.at, t.commits, c.version, c.at, c.commits) as cut
    from unnest($3::int[], $4::smallint[], $5::text[], $6::bigint[], $7::bigint[], $8::text[],
                $9::boolean[], $10::text[], $11::jsonb[], $12::jsonb[], $17::bytea[], $18::int[], $19::bigint[])
           as c (function, part_index, id, version, at, key, in_set, history, columns, missing_columns, trace, source, commits)
    join muster.part p on p.function = c.function and p.part_index = c.part_index
    left join muster.truncation t on t.function = c.function and t.part_index = c.part_index and t.source = c.source
    offset 0 -- else it is worked out anew for every column it decides
  ) c
  where (select is_current from current)
  order by c.function, c.part_index, c.source, c.id collate "C"
  on conflict (function, part_index, source, id) do update
  set (version, at, commits, key, in_set, purged, history, columns, missing_columns, since, trace) =
      (select v.version, v.at, v.commits, v.key, v.in_set, v.purged, v.history, v.columns, v.missing_columns, v.since, v.trace
       from muster.resolve(m, excluded) v)
  where muster.newer(excluded.version, excluded.at, excluded.commits, m.version, m.at, m.commits)
     or m.missing_columns is not null and muster.fills(m, excluded)
     -- what the initial snapshot found counts, also when it arrives after a change of the row
     or excluded.history is not null and m.history is null
  returning m.function, m.part_index, m.source, m.id,
            -- only filled, or left as it was, and what decided it was not its own: missing-columns.ts explains
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
  from m where old_key is not null
  union all
  select function, part_index, new_key, 1, new_fresh::int, 1 from m where new_key is not null
),
d as (
  -- A row changed inside its set sums to nothing and still touches it: a failed run gets its chance.
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
  ) x
  group by function, key
),
s as (
  insert into muster.sets as s (function, key, counts, fresh)
  select function, key, counts, fresh from d order by function, key collate "C"
  on conflict (function, key) do update
  set counts = muster.plus(s.counts, excluded.counts), fresh = s.fresh + excluded.fresh
  returning s.function, s.key, old.counts as old_counts, coalesce(old.fresh, 0) as old_fresh, new.counts, new.fresh
),
j as (
  select s.function, s.key, s.fresh, s.old_fresh, f.overdue_after, f.forgotten_token, f.forgotten_revision,
         c.complete,
         coalesce(muster.complete(s.old_counts, f.need, f.gate_need, f.gate_of), false) as was_complete,
         -- a bound over all pods is kept by claim-runs.sql alone
         f.concurrency is null and not f.paused and s.fresh > 0
           and c.complete as leasable
  from s join f on f.id = s.function,
       lateral (select muster.complete(s.counts, f.need, f.gate_need, f.gate_of) offset 0) as c (complete)
),
several as materialized (
  -- only what may be late is counted, so this is mostly never evaluated
  select jsonb_object_agg(function || '/' || key, changes) as changes from d where changes > 1
),
r as (
  insert into muster.run as r
    (function, key, revision, complete, state, token, attempt, worker, due_at, created_at, started_at, finished_at)
  -- above all that was forgotten: see forget-runs.sql
  select function, key, case when fresh > 0 then forgotten_revision + 1 else 0 end, complete,
         case when fresh = 0 then 'done' when leased then 'running' else 'ready' end::muster.run_state,
         forgotten_token + leased::int, leased::int, case when leased then $15::uuid end,
         now(), now(), case when leased then now() end, case when fresh = 0 then now() end
  from (
    -- slots go first to sets that were not complete before: the others have been run, mostly
    select *, leasable and row_number() over (partition by leasable order by was_complete, function, key) <= $16::int as leased
    from j
  ) j
  -- Of sets that are evaluated by a changed rule only those matter whose run says otherwise;
  -- a run that this snapshot does not show was judged by the same rule.
  where case when key = any ($14::text[])
             then complete <> coalesce((select h.complete from muster.run h where h.function = j.function and h.key = j.key), false)
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
reminded as (
  -- A set waits for its deadline from its first row, and again when it breaks.
  insert into muster.deadline (function, due_at, keys)
  select function, now() + overdue_after, array_agg(key) from j
  where overdue_after is not null and fresh > 0 and not complete
    and (old_fresh = 0 or was_complete or key = any ($14::text[]))
  group by function, overdue_after
),
in_time as (
  -- also when it breaks: the statement that completed it may have waited for the report, and not seen it
  delete from muster.overdue o using j
  where (j.complete <> j.was_complete or j.old_fresh = 0 and j.fresh > 0)
    and o.function = j.function and o.key = j.key
)
select (select is_current from current) as is_current,
       (select is_forgotten from forgotten) as is_forgotten,
       (select count(*)::int from m) as ingested,
       (select coalesce(json_agg(json_build_array(function, n)), '[]')
        from (select function, count(*)::int as n from j
              where complete and not was_complete group by function) as c) as completed,
       (select coalesce(json_agg(json_build_array(function, key, revision, token, attempt)), '[]')
        from r where leased) as leases,
       (select json_agg(json_build_array(function, part_index, source, id)) from m where unresolved) as unresolved;
