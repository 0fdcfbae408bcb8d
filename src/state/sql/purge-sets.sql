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
-- Counts change by deltas, as in ingest-changes.sql: a row that a neighbour files meanwhile is not in this
-- snapshot, and stays counted. Every set of the page is touched, also one without members, so that all of
-- them are locked in key order when clear-sets.sql comes.
--
-- $1 function  $2 keys of done sets, in order  $3 seconds after which no older change can come  $4 rows
with picked as materialized (
  select m.part_index, m.source, m.id, m.key, row_number() over () as n from unnest($2::text[]) as old (key), lateral (
    select m.part_index, m.source, m.id, m.key from muster.member m where m.function = $1 and m.key = old.key limit $4::int
  ) m
  limit $4::int
),
touched as materialized (
  select key from unnest($2::text[]) as old (key)
  where (select count(*) from picked) < $4 or key collate "C" <= (select max(key) from picked)
),
locked as materialized (
  select picked.n, m.function, m.part_index, m.source, m.id, m.key, m.in_set, muster.is_fresh(m.in_set, m.key, m.history) as fresh,
         greatest(m.since, to_timestamp(m.at / 1000.0)) as newest
  from picked
  join muster.member m on m.function = $1 and m.part_index = picked.part_index and m.source = picked.source and m.id = picked.id
  where m.key = picked.key
  order by m.function, m.part_index, m.source, m.id
  for update of m
),
deleted as (
  delete from muster.member m using locked l
  where l.newest < now() - make_interval(secs => $3::float8)
    and m.function = l.function and m.part_index = l.part_index and m.source = l.source and m.id = l.id
  returning l.n
),
-- What is not deleted, by name: of two changes of one row in a statement only one happens, either of them.
stripped as (
  update muster.member m set key = null, in_set = false, purged = true, trace = null, since = l.newest from locked l
  where l.n <> all (array(select n from deleted))
    and m.function = l.function and m.part_index = l.part_index and m.source = l.source and m.id = l.id
),
s as (
  insert into muster.sets as s (function, key, counts, fresh)
  select $1, key,
         array(select -count(*) filter (where x = part_index)::int
               from generate_series(1, 16) part_index, unnest(array_agg(g.part_index)) x group by part_index order by part_index),
         -count(*) filter (where g.fresh)::int
  from (
    select key, part_index, fresh from locked where in_set
    union all
    select key, 0, false from touched
  ) g
  group by key
  order by key collate "C"
  on conflict (function, key) do update
  set counts = muster.plus(s.counts, excluded.counts), fresh = s.fresh + excluded.fresh
)
select (select count(*)::int from locked) as members,
       (select count(*) = $4 from picked) as more,
       (select count(*)::int from touched) as touched;
