-- Set rows in which nothing is held any more. A row that a neighbour adds to meanwhile is looked at
-- again under its lock, and stays.
--
-- $1 function  $2 keys
delete from muster.sets s
using unnest($2::text[]) as old (key)
where s.function = $1 and s.key = old.key and s.live = 0 and 0 = all (s.counts);
