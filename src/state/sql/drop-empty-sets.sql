-- Deletes set rows that count no members. A row that another worker adds to concurrently is checked again
-- under its lock, and stays. A set that consists only of history has no fresh rows but is not empty.
--
-- $1 function  $2 keys
with locked as materialized (
  select s.function, s.key from unnest($2::text[]) as empty (key)
  join muster.sets s on s.function = $1 and s.key = empty.key
  where s.fresh = 0 and 0 = all (s.counts)
  order by s.function, s.key
  for update of s
)
delete from muster.sets s using locked l where s.function = l.function and s.key = l.key;
