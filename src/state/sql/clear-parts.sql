-- Deletes a page of the rows under part indexes that the newest definition does not use. Nothing is ingested
-- into such an index (ingest-changes.sql is fenced), so it only shrinks; once it is empty, it can be assigned
-- again. The versions are deleted too: the next part with this index knows nothing about its table, and is
-- marked as unsynced.
--
-- Counts change by deltas, in the lock order, as in purge-sets.sql. The newest rule ignores these part
-- indexes (their need is 0), so no run changes.
--
-- $1 function  $2 page size
with page as materialized (
  select m.part_index, m.source, m.id from muster.part p
  join lateral (
    select m.part_index, m.source, m.id from muster.member m
    where m.function = p.function and m.part_index = p.part_index order by m.source, m.id limit $2
  ) m on true
  where p.function = $1::int and not p.in_use
  limit $2
),
locked as materialized (
  select m.part_index, m.source, m.id, m.key_hash, m.in_set, muster.is_fresh(m.in_set, m.key_hash, m.history) as fresh
  from page join muster.member m on m.function = $1 and m.part_index = page.part_index and m.source = page.source and m.id = page.id
  order by m.part_index, m.source, m.id collate "C"
  for update of m
),
deleted as (
  delete from muster.member m using locked l where m.function = $1 and m.part_index = l.part_index and m.source = l.source and m.id = l.id
),
deltas as materialized (
  select key_hash, array_agg(part_index) as removed, count(*) filter (where fresh)::int as fresh
  from locked where in_set
  group by key_hash
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
select (select count(*)::int from page) as picked, (select count(*)::int from locked) as removed;
