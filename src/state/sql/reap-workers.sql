-- Frees the runs of pods whose lease is over, and the events they had taken to send, so that a killed
-- pod's work goes on elsewhere. Looks
-- for runs without a living pod, not for dead pods' runs: a pod that was paused may have been given
-- runs after its row was gone.
--
-- A run whose handler had not started does not count the attempt; claim-runs.sql says what is known of
-- that. Such a run is careful from then on, but no suspect.
--
-- The first time a run is due again at once. A handler that kills its process takes its neighbours
-- along; from the second time on each rests for a random while, so that they do not start together
-- again, be counted together, and be given up together.
with gone as (
  delete from muster.worker where lease_until < now()
),
lost as materialized (
  select r.function, r.key, r.unstarted is distinct from r.token as counts,
         r.attempt - (r.unstarted is not distinct from r.token)::int as attempt
  from muster.run r
  where r.state = 'running'
    and not exists (select from muster.worker p where p.id = r.worker and p.lease_until >= now())
  -- a row that is locked is being finished, or was; the next round sees which
  for update skip locked
),
unsent as materialized (
  select o.id from muster.outbox o
  where o.worker is not null
    and not exists (select from muster.worker p where p.id = o.worker and p.lease_until >= now())
  for update skip locked
),
returned as (
  update muster.outbox o set worker = null, due_at = now() from unsent where o.id = unsent.id
)
update muster.run r
set state = 'ready', worker = null, error = 'lease lost: the worker that ran it died or hung',
    attempt = lost.attempt, lost = greatest(1, r.lost + lost.counts::int),
    due_at = now() + make_interval(secs => case when lost.attempt > 1 then random() * 2 ^ least(lost.attempt - 1, 8) else 0 end)
from lost
where r.function = lost.function and r.key = lost.key
returning r.function, r.key;
