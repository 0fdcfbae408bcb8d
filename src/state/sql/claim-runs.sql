-- Leases due runs of one function to a pod, oldest first. SKIP LOCKED waits for nobody, so it needs
-- no order; a neighbour's claim takes other rows. A pod whose lease is over gets nothing: what it took
-- would be freed again at once.
--
-- Until every set has been evaluated by a changed rule (re-evaluate.ts), a run that is due by the old rule
-- is evaluated here.
--
-- Only under the newest definition: a run that a newer rule made would be handled by the older handler, with
-- rows of parts that it does not know. As a writer of the barrier the claim is over before a registration
-- commits, or sees it; without it, a claim whose snapshot is older than the registration could still take
-- a run.
--
-- When an attempt counts
--
-- An attempt counts when its handler starts. What a killed process had started can be read only from
-- what was committed before, and a statement before each start is too dear for handlers of a
-- millisecond. So the lease counts the attempt, and `unstarted` says what a lost lease takes back:
--
--   null    The handler starts as soon as its rows are loaded: the lease counts. Runs that are created leased are of this kind.
--   token   The run waits: leased ahead of a free slot, or careful (below). A lost lease does not count.
--   0       The start was recorded (record-starts.sql): it counts.
--
-- A run leased ahead starts without a record, which the next heartbeat makes up for; one that kills its
-- process before that goes uncounted, once, because from then on it is careful. A careful run's start
-- is recorded before its rows are loaded and its handler is called: a run that was lost with its process,
-- and any run on its last attempt, so that none fails for good which never started. On the last attempt,
-- a lost lease without a record (created with only one attempt, lost while it was loaded) is not counted.
--
-- What was tried on paper and breaks:
--   Nothing counts until it is recorded: a process that is paused past its lease hands its run over, and
--   the second attempt has the number of the first.
--   Every lease counts: of 512 runs leased ahead all are charged for one neighbour, and fail unstarted.
--   Nothing counts but what a heartbeat recorded: a handler that kills at once is never given up.
--
-- A run whose attempts were lost more than once may be what kills: each process holds at most one of
-- them, so that no two are lost together again. A run that was lost once may be beside others: most processes
-- die of something else, and serial work for all of their runs would cost more.
--
-- A bounded claim waits for the function's row in the same transaction: by the time at which that began,
-- a lease that ended meanwhile would still hold.
--
-- $1 function  $2 pod  $3 maximum number of runs  $4 of these, those that start at once
-- $5 attempts allowed  $6 whether one that was lost more than once may be among them
-- $7 registration of the caller's definition
with barrier as (
  delete from muster.barrier -- its comment in the schema says why
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
