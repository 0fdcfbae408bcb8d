-- Locks sets in key order; waits for a set that is being completed.
--
-- $1 function  $2 key
select from unnest($1::int[], $2::text[]) as mine (function, key)
join muster.sets s on s.function = mine.function and s.key = mine.key
order by s.function, s.key
for update of s;
