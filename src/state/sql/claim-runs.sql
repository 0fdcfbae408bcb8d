-- Leases due runs of one function to a pod, oldest first. SKIP LOCKED waits for nobody, so it needs
-- no order; a neighbour's claim takes other rows. A pod whose lease is over gets nothing: what it took
-- would be freed again at once, at the cost of an attempt.
--
-- Until every set has been held against a changed rule (review.ts), a run that the old rule wanted is
-- held against it here.
--
-- A bounded claim waits for the function's row in the same transaction: by the time at which that began,
-- a lease that ended meanwhile would still hold.
--
-- $1 function  $2 pod  $3 at most so many
with due as materialized (
  select function, key from muster.run
  where function = $1 and state = 'ready' and wanted and due_at <= statement_timestamp()
    and exists (select from muster.pod where id = $2 and lease_until > statement_timestamp())
    and not (select paused from muster.function where id = $1)
    and ((select reviewed = generation from muster.function where id = $1)
         or (select muster.complete(s.counts, f.need, f.gate_need, f.gate_of)
             from muster.sets s join muster.function f on f.id = s.function
             where s.function = run.function and s.key = run.key))
  order by due_at
  limit $3
  for update skip locked
)
update muster.run r
set state = 'running', token = r.token + 1, attempt = r.attempt + 1, pod = $2, started_at = statement_timestamp()
from due
where r.function = due.function and r.key = due.key
returning r.function, r.key, r.revision, r.token, r.attempt;
