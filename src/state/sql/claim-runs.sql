-- Leases due runs of one function to a worker, oldest first. SKIP LOCKED never waits, so the rows need no
-- particular order; a concurrent claim takes other rows. A worker whose lease has expired gets nothing: its
-- runs would be released again at once.
--
-- Until every set has been evaluated by a changed rule (re-evaluate.ts), a run that is due by the old rule
-- is evaluated here.
--
-- The claim works only under the newest definition: otherwise a run created by a newer rule would be handled
-- by the older handler, with rows of parts that it does not know. Because the claim writes to the barrier, it
-- either finishes before a registration commits, or sees the registration; without the barrier, a claim whose
-- snapshot is older than the registration could still lease a run.
--
-- When an attempt counts
--
-- An attempt counts once its handler has started. After a worker was killed, only what it had committed
-- shows which handlers had started, and a statement before each start is too expensive for handlers that
-- take a millisecond. So the lease counts the attempt, and `unstarted` specifies whether losing the lease
-- undoes that:
--
--   null    The handler starts as soon as its rows are loaded: the attempt counts. Runs that are created
--           leased belong here.
--   token   The run waits: it was leased ahead of a free slot, or it is careful (below). A lost lease does not
--           count.
--   0       The start was recorded (record-starts.sql): the attempt counts.
--
-- A run that was leased ahead starts without a record; the next heartbeat adds the record. If its handler
-- kills the process before that, the attempt is not counted. This happens only once, because the run is
-- careful from then on: the start of a careful run is recorded before its rows are loaded and its handler is
-- called. Runs that were lost with their process are careful, and so are runs on their last attempt, so that no run
-- fails permanently without having started. On the last attempt, a lease that is lost without a record (the
-- run was created with only one attempt, and lost while it was loaded) does not count.
--
-- Alternatives that were worked out, and why they fail:
--   Count only recorded starts: when a process is paused past its lease, its run is leased to another worker,
--   and the second attempt has the same number as the first.
--   Count every lease: all of 512 runs leased ahead are charged for one of them, and fail unstarted.
--   Count only starts that a heartbeat recorded: a handler that kills its process at once is retried forever.
--
-- A run whose attempts were lost more than once is suspected of killing its process. Each process holds at
-- most one suspect, so that no two are lost together again. A run that was lost once may run alongside others:
-- most processes die for other reasons, and running all of their runs one by one would cost more.
--
-- A claim for a function with a concurrency limit waits for the function's row in the same transaction, so
-- it compares with statement_timestamp(): by the time at which the transaction began, a lease that expired
-- during the wait would still be valid.
--
-- $1 function  $2 worker  $3 maximum number of runs  $4 how many of these start at once
-- $5 maximum number of attempts  $6 whether one of the runs may be a suspect
-- $7 registration of the caller's definition
with barrier as (
  delete from muster.barrier -- see its comment in the schema
),
due as materialized (
  select function, key from muster.run
  where function = $1 and state = 'ready' and complete and due_at <= statement_timestamp()
    and (lost < 2 or $6::boolean and key = (
      select s.key from muster.run s
      where s.function = $1 and s.state = 'ready' and s.complete and s.lost > 1 and s.due_at <= statement_timestamp()
      order by s.due_at
      limit 1))
    and exists (select from muster.worker where id = $2 and lease_until > statement_timestamp())
    and not (select paused from muster.function where id = $1)
    and exists (select from muster.function where id = $1 and registration = $7::uuid)
    and ((select evaluated_generation = generation from muster.function where id = $1)
         or (select muster.complete(s.counts, f.need, f.gate_need, f.gate_of)
             from muster.sets s join muster.function f on f.id = s.function
             where s.function = run.function and s.key = run.key))
  order by due_at
  limit $3
  for update skip locked
),
numbered as (
  select *, row_number() over () as n from due
)
update muster.run r
set state = 'running', token = r.token + 1, worker = $2, started_at = statement_timestamp(),
    attempt = r.attempt + (r.lost = 0 or r.attempt < $5::int or r.unstarted is not distinct from 0)::int,
    unstarted = case when numbered.n > $4::int or r.lost > 0 or r.attempt + 1 >= $5::int then r.token + 1 end
from numbered
where r.function = numbered.function and r.key = numbered.key
returning r.function, r.key, r.revision, r.token, r.attempt, r.lost;
