-- Takes events that are due, of each set only the lowest that is not sent yet: the events of a set
-- go out in order. They come back by themselves if the pod that took them dies.
--
-- $1 functions  $2 at most so many  $3 seconds until another pod may take them
with due as materialized (
  select o.id from muster.outbox o
  where o.function = any ($1::int[]) and o.sent_at is null and o.failed_at is null and o.due_at <= now()
    -- no anti-join: it would read all that is not sent, for each event
    and o.id = (select lower.id from muster.outbox lower
                where lower.function = o.function and lower.key = o.key
                  and lower.sent_at is null and lower.failed_at is null
                order by lower.id limit 1)
  order by o.due_at
  limit $2
  for update skip locked
)
update muster.outbox o
set due_at = now() + make_interval(secs => $3::float8), attempts = o.attempts + 1
from due
where o.id = due.id
returning o.id, o.function, o.key, o.event_id as "eventId", o.type, o.subject, o.data::text as data, o.attempts, o.created_at as "createdAt";
