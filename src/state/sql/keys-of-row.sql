-- Returns the sets that a source row is in, or would be in if its part's filter accepted it, according to what
-- is stored. A row that is deleted, or without a key, returns null.
--
-- $1 function  $2 part indexes  $3 the row's id for each of them  $4 source
select distinct m.key
from unnest($2::smallint[], $3::text[]) as u (part_index, id)
cross join lateral (
  select m.key from muster.member m
  where m.function = $1 and m.part_index = u.part_index and m.source = $4 and m.id = u.id
  offset 0 -- forces one lookup in the primary key for each id, regardless of the planner's estimates
) m;
