-- Set rows in which nothing is held any more. A row that a neighbour adds to meanwhile is looked at
-- again under its lock, and stays. A set of history alone has no live row, and is not empty.
--
-- $1 function  $2 keys
with locked as materialized (
  select s.function, s.key from unnest($2::text[]) as old (key)
  join muster.sets s on s.function = $1 and s.key = old.key
  where s.fresh = 0 and 0 = all (s.counts)
  order by s.function, s.key
  for update of s
)
delete from muster.sets s using locked l where s.function = l.function and s.key = l.key;
