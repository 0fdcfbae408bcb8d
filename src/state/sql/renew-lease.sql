-- Renews all leases of this worker, which is one row, and returns the runs it holds. Returns no row if the
-- lease was lost and the worker was reaped. Deletes leases whose runs have all ended, for the case that their
-- worker could not.
--
-- $1 worker  $2 seconds
with renewed as (
  update muster.worker set lease_until = now() + make_interval(secs => $2::float8)
  where id = $1
  returning id
),
held as materialized (
  select l.* from renewed join muster.leased l on l.worker = renewed.id
),
over as materialized (
  select l.claim, l.chunk from renewed join muster.lease l on l.worker = renewed.id
  where l.claim not in (select claim from held)
  for update of l skip locked -- end-claims.sql deletes leases in another order
),
ended as (
  delete from muster.lease l using over where l.claim = over.claim and l.chunk = over.chunk
)
select (select coalesce(jsonb_agg(jsonb_build_array(function, key, revision, token, attempt, lost, key_hash, claim, late, since)), '[]')
        from held) as leases
from renewed;
