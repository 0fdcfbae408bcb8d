-- Releases the runs of workers whose lease has expired, and the events that they had claimed to send, so that
-- other workers continue a killed worker's work. Looks for runs without a live worker, not for the runs of
-- dead workers: a worker that was paused may have been given runs after its row was deleted.
--
-- If the handler of a run had not started, the attempt does not count; claim-runs.sql explains how that is
-- known. Such a run is careful from then on, but not a suspect.
--
-- After its first loss a run is due again at once. A handler that kills its process takes the other runs of
-- the process with it; from the second loss on, each of them waits for a random time, so that they do not
-- start together again, are not charged together, and do not fail together.
with expired as (
  delete from muster.worker where lease_until < now()
),
lost as materialized (
  select r.function, r.key, r.unstarted is distinct from r.token as counts,
         r.attempt - (r.unstarted is not distinct from r.token)::int as attempt
  from muster.run r
  where r.state = 'running'
    and not exists (select from muster.worker p where p.id = r.worker and p.lease_until >= now())
  -- a locked row is being finished; the next round sees the outcome
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
