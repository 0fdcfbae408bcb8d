-- What there is to do for each function: how many pods KEDA should keep. One row per registered
-- function, zeros when there is nothing. Asked every few seconds by a role that may read nothing else
-- (the view reads with its owner's rights), so it has to be cheap whatever the tables hold.
--
--   runs      running, or due and waiting for a slot; at most 10,000, so that a backlog is not
--             counted in whole, and at most the function's concurrency: a pod more could start none of
--             the others. One whose pod died counts until somebody takes it over. Failed runs, those
--             that wait for their next attempt, and due ones of a paused function don't count.
--   deadlines 1 if one is due
--   events    1 if an outgoing event is due. Not how many: while the sink is down they pile up, and one
--             pod is enough to find out that it is back.
--   reviews   1 if sets are still to be held against a new rule
--   total     the sum
--
-- KEDA's connection does not pin its plans as Muster's own do. Where the planner guesses that many
-- rows fit, it reads a table from its beginning until it has found one, which takes seconds when there
-- is none. Asked for the lowest in the order of an index, it has no choice.
create view muster.due as
select f.name as function, w.runs, w.deadlines, w.events, w.evaluations,
       w.runs + w.deadlines + w.events + w.evaluations as total
from muster.function f
left join (
  -- by pod, because that is what the index of leased runs has; they are few
  select r.function, count(*) as n from muster.run r
  where r.worker is not null and r.state = 'running'
  group by r.function
) leased on leased.function = f.id
cross join lateral (
  select count(*) as n from (
    select from muster.run r
    where r.function = f.id and r.state = 'ready' and r.complete and r.due_at <= now() and not f.paused
    order by r.due_at
    limit 10000
  ) first
) waiting
cross join lateral (
  select least(coalesce(leased.n, 0) + waiting.n, coalesce(f.concurrency, 10000), 10000)::int as runs,
         coalesce((select d.due_at <= now() from muster.deadline d where d.function = f.id
                   order by d.due_at limit 1), false)::int as deadlines,
         (coalesce((select o.due_at <= now() from muster.outbox o
                   where o.function = f.id and o.sent_at is null and o.failed_at is null
                   order by o.due_at limit 1), false)
          and coalesce(f.sink_missing_until <= now(), true))::int as events,
         (f.evaluated_generation < f.generation)::int as evaluations
) w;
