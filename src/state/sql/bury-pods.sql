-- Frees the runs of pods whose lease is over, so that a killed pod's work goes on elsewhere. Looks
-- for runs without a living pod, not for dead pods' runs: a pod that was paused may have been given
-- runs after its row was gone.
with gone as (
  delete from muster.pod where lease_until < now()
),
lost as materialized (
  select r.function, r.key from muster.run r
  where r.state = 'running'
    and not exists (select from muster.pod p where p.id = r.pod and p.lease_until >= now())
  -- a row that is locked is being finished, or was; the next round sees which
  for update skip locked
)
update muster.run r
set state = 'ready', pod = null, due_at = now(), error = 'lease lost: the pod that ran it died or hung'
from lost
where r.function = lost.function and r.key = lost.key
returning r.function, r.key;
