-- Removes the members of sets that were done long ago. A row that an older change may still come for
-- stays as its version alone, until purge-tombstones.sql: else a redelivered create could bring the
-- row back into a set that it has left. Counts change by deltas, as in
-- file-changes.sql: a row that a neighbour files meanwhile is not in this snapshot, and stays counted.
-- Every set is touched, also one without members, so that all of them are locked in key order when
-- clear-sets.sql comes.
--
-- $1 function  $2 keys of done sets  $3 seconds after which no older change can come
with locked as materialized (
  select m.function, m.lane, m.source, m.id, m.key, m.held, muster.is_live(m.held, m.key, m.history) as live, m.since < now() - make_interval(secs => $3::float8) as old
  from unnest($2::text[]) as old (key)
  join muster.member m on m.function = $1 and m.key = old.key
  order by m.function, m.lane, m.source, m.id
  for update of m
),
deleted as (
  delete from muster.member m using locked l
  where l.old and m.function = l.function and m.lane = l.lane and m.source = l.source and m.id = l.id
),
stripped as (
  update muster.member m set key = null, held = false, columns = null, holes = null, trace = null from locked l
  where not l.old and m.function = l.function and m.lane = l.lane and m.source = l.source and m.id = l.id
),
s as (
  insert into muster.sets as s (function, key, counts, live)
  select $1, key,
         array(select -count(*) filter (where x = lane)::int
               from generate_series(1, 16) lane, unnest(array_agg(g.lane)) x group by lane order by lane),
         -count(*) filter (where g.live)::int
  from (
    select key, lane, live from locked where held
    union all
    select key, 0, false from unnest($2::text[]) as old (key)
  ) g
  group by key
  order by key collate "C"
  on conflict (function, key) do update
  set counts = muster.plus(s.counts, excluded.counts), live = s.live + excluded.live
)
select count(*)::int as members from locked;
