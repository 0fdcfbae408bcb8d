-- The sets that a source row is in, or would be in if the filters of its part took it, by what is stored.
-- A row without a key, or deleted, gives null.
--
-- $1 function  $2 part indexes  $3 ids, one for each of them  $4 source
select distinct m.key
from unnest($2::smallint[], $3::text[]) as u (part_index, id)
cross join lateral (
  select m.key from muster.member m
  where m.function = $1 and m.part_index = u.part_index and m.source = $4 and m.id = u.id
  offset 0 -- one look into the primary key for each, whatever the planner thinks of the table
) m;
