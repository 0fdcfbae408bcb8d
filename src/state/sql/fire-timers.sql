-- Fires due timers of sets that are still incomplete, once, and drops the others. A statement of its
-- own after lock-sets.sql, so that its snapshot is younger than the locks.
--
-- A run that is done says that the set was complete in time, whatever came later; of one that is
-- running that is not known yet.
-- $1 function  $2 key
with timer as materialized (
  -- by key alone, before the conditions: else the planner takes the index of all that are not fired
  select t.function, t.key, t.due_at, t.fired_at
  from unnest($1::int[], $2::text[]) as mine (function, key)
  join muster.timer t on t.function = mine.function and t.key = mine.key
),
due as materialized (
  select t.function, t.key, t.due_at, s.counts, f.name, f.overdue_after, f.need,
         s.key is not null and s.live > 0
           and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)
           and r.state is distinct from 'done' as waits,
         r.state is not distinct from 'running' as running
  from timer t
  join muster.function f on f.id = t.function
  left join muster.sets s on s.function = t.function and s.key = t.key
  left join muster.run r on r.function = t.function and r.key = t.key
  where t.fired_at is null and t.due_at <= now()
),
fired as (
  update muster.timer t set fired_at = now() from due
  where due.waits and not due.running and t.function = due.function and t.key = due.key
  returning t.function, t.key
),
held_back as (
  update muster.timer t set due_at = now() + interval '30 seconds' from due
  where due.waits and due.running and t.function = due.function and t.key = due.key
),
dropped as (
  delete from muster.timer t using due
  where not due.waits and t.function = due.function and t.key = due.key
),
missing as (
  select due.function, due.key, due.due_at,
         json_agg(json_build_object('part', p.name, 'have', due.counts[p.lane], 'need', due.need[p.lane])
                  order by p.lane) filter (where due.counts[p.lane] < due.need[p.lane]) as parts
  from fired join due on due.function = fired.function and due.key = fired.key
  join muster.part p on p.function = due.function and due.need[p.lane] > 0
  group by due.function, due.key, due.due_at
),
reported as (
  insert into muster.outbox (function, key, event_id, type, subject, data)
  select m.function, m.key, f.name || '/' || m.key || '/overdue/' || extract(epoch from m.due_at)::numeric,
         'muster.set.overdue', m.key,
         json_build_object('function', f.name, 'key', m.key, 'overdueSince', m.due_at, 'missing', m.parts)
  from missing m join muster.function f on f.id = m.function
  order by m.function, m.key
)
select f.name as function, m.key, m.parts as missing from missing m join muster.function f on f.id = m.function;
