-- Deletes events that the sink refused, or one, named by key and id, that still waits: the next of its set is
-- due then. One that is in flight at this moment may be taken all the same.
--
-- $1 function  $2 key; null = of every set  $3 event id; null = every refused event
with chosen as materialized (
  select o.id from muster.outbox o
  where o.function = $1 and o.failed_at is not null
    and ($2::text is null or o.key = $2) and ($3::text is null or o.event_id = $3)
  union all
  select o.id from muster.outbox o where o.function = $1 and o.key = $2 and o.event_id = $3
),
gone as (
  -- asked of the newest row: an event may be sent at this moment
  delete from muster.outbox o using chosen
  where o.id = chosen.id and o.sent_at is null
  returning o.id, o.function, o.key, o.event_id, o.type
),
woken as (
  update muster.outbox o set due_at = now()
  from gone, lateral (
    select higher.id from muster.outbox higher
    where higher.function = gone.function and higher.key = gone.key and higher.id > gone.id
      and coalesce(higher.sent_at, higher.failed_at) is null
    order by higher.id limit 1
  ) as next
  where o.id = next.id and o.worker is null
)
select event_id as "eventId", type from gone order by id;
