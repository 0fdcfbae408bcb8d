-- Claims events that are due, and of each set only the oldest unsent one, because the events of a set are
-- sent in order. Another worker can claim them once the worker that claimed them has been reaped, or after
-- $3 seconds.
--
-- An event that is due behind an unsent one is postponed until that one is due, but for at least 5 s; when
-- that one has been sent, record-deliveries.sql makes the next one due. If such events stayed due, every claim
-- would look at all of them: with 200,000 of them behind a sink that is down, one claim took more than 20 s.
--
-- $1 functions  $2 maximum number of events; eight times as many rows are looked at
-- $3 seconds until another worker may claim them  $4 worker
with due as materialized (
  -- one function at a time, so that the index returns the rows in order and no backlog is sorted
  select o.id, o.function, o.key from unnest($1::int[]) as mine (id), lateral (
    select o.id, o.function, o.key from muster.outbox o
    where o.function = mine.id and o.sent_at is null and o.failed_at is null and o.due_at <= now()
    order by o.due_at
    limit 8 * $2::int
    for update skip locked
  ) o
),
candidates as materialized (
  select due.id, head.id as head, head.due_at,
         row_number() over (partition by head.id = due.id order by due.id) as nth
  from due, lateral (
    select lower.id, lower.due_at from muster.outbox lower
    where lower.function = due.function and lower.key = due.key
      -- phrased unlike the predicate of outbox_due, which the planner would otherwise read as a whole
      and coalesce(lower.sent_at, lower.failed_at) is null
    order by lower.id limit 1
  ) as head
),
postponed as (
  update muster.outbox o set due_at = greatest(candidates.due_at, now() + interval '5 seconds')
  from candidates
  where o.id = candidates.id and candidates.id <> candidates.head
),
claimed as (
  update muster.outbox o
  set due_at = now() + make_interval(secs => $3::float8), attempts = o.attempts + 1, worker = $4
  from candidates
  where o.id = candidates.id and candidates.id = candidates.head and candidates.nth <= $2::int
  returning o.id, o.function, o.key, o.event_id, o.type, o.subject, o.data::text as data, o.attempts, o.created_at, encode(o.trace, 'hex') as trace
)
select looked.at as "lookedAt", claimed.id, function, key, event_id as "eventId", type, subject, data, attempts,
       created_at as "createdAt", trace
from (select count(*)::int as at from due) as looked left join claimed on true
order by claimed.id;
