-- Returns a page of a function's sets in the order of their hashes, and whether each was done long ago and
-- is not purged yet, and whether it never was complete and is empty.
--
-- $1 function  $2 after this hash  $3 seconds since done  $4 page size
select s.key_hash as "keyHash",
       coalesce(s.state = 'done' and s.finished_at < now() - make_interval(secs => $3::float8), false) and not s.purged as old,
       s.state is null and s.fresh = 0 and 0 = all (s.counts) as empty
from (select * from muster.sets where function = $1 and key_hash > $2 order by key_hash limit $4) s
order by s.key_hash;
