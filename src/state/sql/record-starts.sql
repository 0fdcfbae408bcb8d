-- Records that handlers start: if their process dies, the attempt counts (claim-runs.sql explains when this is
-- needed). Returns the runs that are still leased. Locks in key order.
--
-- The state is compared as text for the reason given in finish-runs.sql.
--
-- $1 function  $2 key  $3 token
with held as materialized (
  select r.function, r.key, mine.n
  from unnest($1::int[], $2::text[], $3::bigint[]) with ordinality as mine (function, key, token, n)
  join muster.run r on r.function = mine.function and r.key = mine.key
  where r.token = mine.token and r.state::text = 'running'
  order by r.function, r.key
  for update of r
)
update muster.run r set unstarted = 0
from held
where r.function = held.function and r.key = held.key
returning held.n::int;
