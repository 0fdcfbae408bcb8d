-- Takes events that are due, of each set only the lowest that is not sent yet: the events of a set
-- go out in order. They come back when the worker that took them is reaped, or after $3 seconds.
--
-- An event that is due behind one that is not sent is put off until that one is due, or 5 s; when it
-- is sent, record-deliveries.sql wakes the next. Left due, such events would be looked at every time: with
-- 200,000 of them behind a sink that is down one look took more than 20 s.
--
-- $1 functions  $2 at most so many, eight times as many are looked at
-- $3 seconds until another pod may take them  $4 pod
with due as materialized (
  -- function by function, so that the index gives them in order and no backlog is sorted
  select o.id, o.function, o.key from unnest($1::int[]) as mine (id), lateral (
    select o.id, o.function, o.key from muster.outbox o
    where o.function = mine.id and o.sent_at is null and o.failed_at is null and o.due_at <= now()
    order by o.due_at
    limit 8 * $2::int
    for update skip locked
  ) o
),
judged as materialized (
  select due.id, head.id as head, head.due_at,
         row_number() over (partition by head.id = due.id order by due.id) as nth
  from due, lateral (
    select lower.id, lower.due_at from muster.outbox lower
    where lower.function = due.function and lower.key = due.key
      -- not in the words of the index of all that is due, which the planner would read as a whole
      and coalesce(lower.sent_at, lower.failed_at) is null
    order by lower.id limit 1
  ) as head
),
put_off as (
  update muster.outbox o set due_at = greatest(judged.due_at, now() + interval '5 seconds')
  from judged
  where o.id = judged.id and judged.id <> judged.head
),
taken as (
  update muster.outbox o
  set due_at = now() + make_interval(secs => $3::float8), attempts = o.attempts + 1, worker = $4
  from judged
  where o.id = judged.id and judged.id = judged.head and judged.nth <= $2::int
  returning o.id, o.function, o.key, o.event_id, o.type, o.subject, o.data::text as data, o.attempts, o.created_at, encode(o.trace, 'hex') as trace
)
select looked.at as "lookedAt", taken.id, function, key, event_id as "eventId", type, subject, data, attempts,
       created_at as "createdAt", trace
from (select count(*)::int as at from due) as looked left join taken on true
order by taken.id;
