-- Removes the members of sets that were done long ago. Counts change by deltas, as in
-- file-changes.sql: a row that a neighbour files meanwhile is not in this snapshot, and stays counted.
-- Every set is touched, also one without members, so that all of them are locked in key order when
-- clear-sets.sql comes.
--
-- $1 function  $2 keys of done sets
with locked as materialized (
  select m.function, m.lane, m.id from unnest($2::text[]) as old (key)
  join muster.member m on m.function = $1 and m.key = old.key
  order by m.function, m.lane, m.id
  for update of m
),
gone as (
  delete from muster.member m using locked l
  where m.function = l.function and m.lane = l.lane and m.id = l.id
  returning m.lane, m.key, m.held, m.live
),
s as (
  insert into muster.sets as s (function, key, counts, live)
  select $1, key,
         array(select -count(*) filter (where x = lane)::int
               from generate_series(1, 16) lane, unnest(array_agg(g.lane)) x group by lane order by lane),
         -count(*) filter (where g.live)::int
  from (
    select key, lane, live from gone where held
    union all
    select key, 0, false from unnest($2::text[]) as old (key)
  ) g
  group by key
  order by key collate "C"
  on conflict (function, key) do update
  set counts = muster.plus(s.counts, excluded.counts), live = s.live + excluded.live
)
select count(*)::int as members from gone;
