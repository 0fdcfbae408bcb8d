-- Removes a page of the members of sets that were done long ago. A page is a number of rows, not of sets:
-- by sets, the purge of a few large ones ran into the statement time-out, and never got further.
--
-- A row that an older change may still come for stays as its version alone, until purge-tombstones.sql:
-- else a redelivered change could bring the row back into a set that it has left. What counts is the age
-- of its newest version, not how long it has been in its set: a row that was in another set for a moment
-- has been here for ever, and the change that took it there may come again. Such a row keeps its columns:
-- the next update may not carry an unchanged one (TOAST), and an older change that comes again must not
-- fill the hole with an older value.
--
-- Counts change by deltas, as in file-changes.sql: a row that a neighbour files meanwhile is not in this
-- snapshot, and stays counted. Every set of the page is touched, also one without members, so that all of
-- them are locked in key order when clear-sets.sql comes.
--
-- $1 function  $2 keys of done sets, in order  $3 seconds after which no older change can come  $4 rows
with picked as materialized (
  select m.lane, m.source, m.id, m.key, row_number() over () as n from unnest($2::text[]) as old (key), lateral (
    select m.lane, m.source, m.id, m.key from muster.member m where m.function = $1 and m.key = old.key limit $4::int
  ) m
  limit $4::int
),
touched as materialized (
  select key from unnest($2::text[]) as old (key)
  where (select count(*) from picked) < $4 or key collate "C" <= (select max(key) from picked)
),
locked as materialized (
  select picked.n, m.function, m.lane, m.source, m.id, m.key, m.held, muster.is_live(m.held, m.key, m.history) as live,
         greatest(m.since, to_timestamp(m.at / 1000.0)) as newest
  from picked
  join muster.member m on m.function = $1 and m.lane = picked.lane and m.source = picked.source and m.id = picked.id
  where m.key = picked.key
  order by m.function, m.lane, m.source, m.id
  for update of m
),
deleted as (
  delete from muster.member m using locked l
  where l.newest < now() - make_interval(secs => $3::float8)
    and m.function = l.function and m.lane = l.lane and m.source = l.source and m.id = l.id
  returning l.n
),
-- What is not deleted, by name: of two changes of one row in a statement only one happens, either of them.
stripped as (
  update muster.member m set key = null, held = false, purged = true, trace = null, since = l.newest from locked l
  where l.n <> all (array(select n from deleted))
    and m.function = l.function and m.lane = l.lane and m.source = l.source and m.id = l.id
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
    select key, 0, false from touched
  ) g
  group by key
  order by key collate "C"
  on conflict (function, key) do update
  set counts = muster.plus(s.counts, excluded.counts), live = s.live + excluded.live
)
select (select count(*)::int from locked) as members,
       (select count(*) = $4 from picked) as more,
       (select count(*)::int from touched) as touched;
