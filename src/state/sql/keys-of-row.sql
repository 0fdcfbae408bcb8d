-- Returns the sets that a source row is in, or would be in if its part's filter accepted it, according to what
-- is stored: the hash of each key, and the key if the set exists. A row that is deleted, or without a key, returns
-- null.
--
-- $1 function  $2 part indexes  $3 the row's id for each of them  $4 source
select distinct m.key_hash as "keyHash", s.key
from unnest($2::smallint[], $3::text[]) as u (part_index, id)
cross join lateral (
  select case when not m.purged then m.key_hash end as key_hash from muster.member m
  where m.function = $1 and m.part_index = u.part_index and m.source = $4 and m.id = u.id
  offset 0 -- forces one lookup in the primary key for each id, regardless of the planner's estimates
) m
left join lateral (
  select s.key from muster.sets s where s.function = $1 and s.key_hash = m.key_hash offset 0
) s on true;
