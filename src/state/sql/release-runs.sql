-- Releases runs that did not finish, so that any worker may start them, at once or after a delay. The attempt
-- is not counted: the worker was asked to stop, or the database failed.
--
-- The state is compared as text for the reason given in finish-runs.sql.
--
-- $1 function  $2 key  $3 token  $4 milliseconds to wait
with held as materialized (
  select r.function, r.key
  from unnest($1::int[], $2::text[], $3::bigint[]) as mine (function, key, token)
  join muster.run r on r.function = mine.function and r.key = mine.key
  where r.token = mine.token and r.state::text = 'running'
  order by r.function, r.key
  for update of r
)
update muster.run r
set state = 'ready', attempt = r.attempt - 1, worker = null,
    due_at = now() + make_interval(secs => $4::float8 / 1000)
from held
where r.function = held.function and r.key = held.key;
