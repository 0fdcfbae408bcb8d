-- Locks sets in key order; waits for a set that is being completed.
--
-- $1 function  $2 hash of the key
select from unnest($1::int[], $2::uuid[]) as mine (function, key_hash)
join muster.sets s on s.function = mine.function and s.key_hash = mine.key_hash
order by s.function, s.key_hash
for update of s;
