-- Keeps this pod's leases, all of them by one row, and tells which runs it holds. No row: the lease
-- was lost and the pod has been buried.
--
-- $1 pod  $2 seconds
with renewed as (
  update muster.worker set lease_until = now() + make_interval(secs => $2::float8)
  where id = $1
  returning id
)
select (select coalesce(jsonb_agg(jsonb_build_array(r.function, r.key, r.revision, r.token, r.attempt, r.lost)), '[]')
        from muster.run r where r.worker = renewed.id and r.state = 'running') as leases
from renewed;
