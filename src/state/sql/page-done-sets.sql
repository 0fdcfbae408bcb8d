-- A page of a function's sets in the order of their keys: which are done long ago, which hold nothing.
--
-- $1 function  $2 after this key  $3 seconds since done  $4 at most so many
select s.key,
       coalesce(r.state = 'done' and r.finished_at < now() - make_interval(secs => $3::float8), false) as old,
       s.fresh = 0 and 0 = all (s.counts) as empty
from (select function, key, counts, fresh from muster.sets where function = $1 and key > $2 order by key limit $4) s
left join muster.run r on r.function = s.function and r.key = s.key
order by s.key;
