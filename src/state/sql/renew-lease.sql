-- Renews all leases of this worker, which is one row, and returns the runs it holds. Returns no row if the
-- lease was lost and the worker was reaped.
--
-- $1 worker  $2 seconds
with renewed as (
  update muster.worker set lease_until = now() + make_interval(secs => $2::float8)
  where id = $1
  returning id
)
select (select coalesce(jsonb_agg(jsonb_build_array(r.function, r.key, r.revision, r.token, r.attempt, r.lost)), '[]')
        from muster.run r where r.worker = renewed.id and r.state = 'running') as leases
from renewed;
