-- Leases due runs of one function to a worker, oldest first: deletes their rows from the queue, and inserts one
-- row for every 48 of them into muster.lease. SKIP LOCKED never waits, so the rows need no particular order; a
-- concurrent claim takes other rows. A worker whose lease has expired gets nothing: its runs would be released
-- again at once.
--
-- The sets are only read. Their rows may be older than those of a concurrent statement, which is as if the claim
-- had come first: of a pending run only its holder changes the token, and its holder is this row of the queue.
--
--   An older token, or a set that is not pending: the row is stale, and dropped.
--   An incomplete set: its run rests. This is checked again under the lock of the set's row; if the set is complete
--   again, or locked, the row stays in the queue. Dropping it without that lost runs: a statement that completes
--   the set again leaves a pending run alone.
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
-- take a millisecond. So the lease counts the attempt, and its `start` specifies whether losing the lease
-- undoes that:
--
--   counts    The handler starts as soon as its rows are loaded: the attempt counts. Runs that are created
--             leased belong here.
--   waiting   The run waits: it was leased ahead of a free slot, or it is careful (below). A lost lease does
--             not count.
--   recorded  The start was recorded (record-starts.sql): the attempt counts.
--
-- A set's own `attempt` is the number of attempts that have ended and count.
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
-- $7 registration of the caller's definition  $8 claim: names these leases
with barrier as (
  delete from muster.barrier -- see its comment in the schema
),
mine as materialized (
  select f.*, f.evaluated_generation = f.generation as is_evaluated
  from muster.function f
  where f.id = $1 and f.registration = $7::uuid and not f.paused
    and exists (select from muster.worker where id = $2 and lease_until > statement_timestamp())
),
due as materialized (
  select q.ctid as row, q.key_hash, q.token, q.due_at from muster.queue q
  where q.function = $1 and q.due_at <= statement_timestamp()
    and (not q.is_suspect or $6::boolean and q.key_hash = (
      select s.key_hash from muster.queue s
      where s.function = $1 and s.is_suspect and s.due_at <= statement_timestamp()
      order by s.due_at
      limit 1))
    and exists (select from mine)
    and ((select is_evaluated from mine)
         or coalesce((select muster.complete(s.counts, mine.need, mine.gate_need, mine.gate_of)
                      from muster.sets s, mine where s.function = q.function and s.key_hash = q.key_hash), true))
  order by q.due_at
  limit $3
  for update skip locked
),
looked as materialized (
  select due.*, s.key, s.revision, s.attempt, s.lost, s.start_recorded, s.late, s.complete,
         coalesce(s.token = due.token and s.state = 'pending', false) as is_current
  from due left join lateral (
    select * from muster.sets s where s.function = $1 and s.key_hash = due.key_hash offset 0
  ) s on true
),
incomplete as materialized (
  select s.function, s.key_hash from looked, lateral (
    select s.function, s.key_hash from muster.sets s
    where s.function = $1 and s.key_hash = looked.key_hash and s.token = looked.token and s.state = 'pending' and not s.complete
    for no key update skip locked
  ) s
  where looked.is_current and not looked.complete
),
rested as (
  update muster.sets s set state = 'resting', due_at = null
  from incomplete where s.function = incomplete.function and s.key_hash = incomplete.key_hash
  returning s.key_hash
),
numbered as materialized (
  select *, attempt + (lost = 0 or attempt < $5::int or coalesce(start_recorded, false))::int as next_attempt,
         row_number() over (order by due_at) as n
  from looked where is_current and complete
),
taken as (
  delete from muster.queue
  where ctid = any (array(select row from looked where not is_current
                          union all select row from numbered
                          union all select row from looked where key_hash in (select key_hash from rested)))
),
leased as (
  insert into muster.lease (claim, chunk, function, worker, since, keys, tokens, attempts, lates, starts)
  select $8::uuid, (n - 1) / 48, $1, $2, statement_timestamp(), array_agg(key_hash order by n), array_agg(token order by n),
         array_agg(next_attempt order by n), array_agg(late order by n),
         array_agg((case when n > $4::int or lost > 0 or attempt + 1 >= $5::int then 'waiting' else 'counts' end)::muster.start order by n)
  from numbered
  group by (n - 1) / 48
)
select dropped.n as dropped, function, key, key_hash as "keyHash", revision, token, attempt, lost, late, statement_timestamp()::text as since
from (select (select count(*) from looked where not is_current)::int + (select count(*) from rested)::int as n) dropped
left join (select $1::int as function, key, key_hash, revision, token, next_attempt as attempt, lost, late, n from numbered) leases on true
order by leases.n;
