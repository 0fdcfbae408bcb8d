-- Deletes a page of the members of sets that were done long ago. A page is a number of rows, not of sets: with
-- pages of sets, the purge of a few large sets exceeded the statement timeout and never got further.
--
-- A row for which an older change may still arrive is reduced to its version, until purge-tombstones.sql
-- deletes it: otherwise a redelivered change could bring the row back into a set that it has left. The age of
-- its newest version decides, not how long it has been in its set: a row that was briefly in another set has
-- been in this one for a long time, and the change that moved it there may be redelivered. Such a row keeps its
-- columns: the next update may not carry an unchanged one (TOAST), and a redelivered older change must not
-- fill the gap with an older value.
--
-- Counts change by deltas, as in ingest-changes.sql: a row that another worker ingests concurrently is not in
-- this snapshot, and stays counted. Every set of the page is touched, even one without members, so that all of
-- them are locked in key order before clear-sets.sql runs.
--
-- $1 function  $2 hashes of the keys of done sets, in order  $3 seconds after which no older change can arrive
-- $4 maximum number of rows
with picked as materialized (
  select m.part_index, m.source, m.id, m.key_hash, row_number() over () as n from unnest($2::uuid[]) as old (key_hash), lateral (
    select m.part_index, m.source, m.id, m.key_hash from muster.member m where m.function = $1 and m.key_hash = old.key_hash and not m.purged limit $4::int
  ) m
  limit $4::int
),
touched as materialized (
  select key_hash from unnest($2::uuid[]) as old (key_hash)
  where (select count(*) from picked) < $4 or key_hash::text <= (select max(key_hash::text) from picked)
),
locked as materialized (
  select picked.n, m.*
  from (select * from picked order by part_index, source, id) picked, lateral (
    select m.function, m.part_index, m.source, m.id, m.key_hash, m.in_set, muster.is_fresh(m.in_set, m.key_hash, m.history) as fresh,
           greatest(m.since, to_timestamp(m.at / 1000.0)) as newest
    from muster.member m
    where m.function = $1 and m.part_index = picked.part_index and m.source = picked.source and m.id = picked.id
      and m.key_hash = picked.key_hash and not m.purged
    for update
  ) m
),
deleted as (
  delete from muster.member m using locked l
  where l.newest < now() - make_interval(secs => $3::float8)
    and m.function = l.function and m.part_index = l.part_index and m.source = l.source and m.id = l.id
  returning l.n
),
-- Excludes the deleted rows by name: if one statement changes a row twice, only one of the changes takes
-- effect, and which one is undefined.
stripped as (
  update muster.member m set key_hash = case when m.literals is not null then m.key_hash end, in_set = false, purged = true, trace = null, since = l.newest, gone_on = l.newest::date from locked l
  where l.n <> all (array(select n from deleted))
    and m.function = l.function and m.part_index = l.part_index and m.source = l.source and m.id = l.id
),
deltas as materialized (
  select touched.key_hash, array_agg(l.part_index) as removed,
         count(*) filter (where l.fresh)::int as fresh
  from touched left join locked l on l.key_hash = touched.key_hash and l.in_set
  group by touched.key_hash
),
locked_sets as materialized (
  select s.function, s.key_hash, d.removed, d.fresh
  from (select * from deltas order by key_hash) d, lateral (
    select s.function, s.key_hash from muster.sets s where s.function = $1 and s.key_hash = d.key_hash for update
  ) s
),
counted as (
  update muster.sets s
  set counts = muster.without(s.counts, l.removed), fresh = s.fresh - l.fresh
  from locked_sets l
  where s.function = l.function and s.key_hash = l.key_hash
)
select (select count(*)::int from locked) as members,
       (select count(*) = $4 from picked) as more,
       (select count(*)::int from touched) as touched;
