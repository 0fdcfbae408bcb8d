-- Returns a page of a function's sets in key order, and whether each was done long ago, and is empty.
--
-- $1 function  $2 after this key  $3 seconds since done  $4 page size
select s.key,
       coalesce(r.state = 'done' and r.finished_at < now() - make_interval(secs => $3::float8), false) as old,
       s.fresh = 0 and 0 = all (s.counts) as empty
from (select function, key, counts, fresh from muster.sets where function = $1 and key > $2 order by key limit $4) s
left join muster.run r on r.function = s.function and r.key = s.key
order by s.key;
