-- Deletes events that the sink refused, or one event that is still waiting, named by key and id; the next
-- event of its set becomes due. An event that is being sent at this moment may reach the sink nevertheless.
--
-- $1 function  $2 key; null = of every set  $3 event id; null = every refused event
with chosen as materialized (
  select o.id from muster.outbox o
  where o.function = $1 and o.failed_at is not null
    and ($2::text is null or o.key = $2) and ($3::text is null or o.event_id = $3)
  union all
  select o.id from muster.outbox o where o.function = $1 and o.key = $2 and o.event_id = $3
),
deleted as (
  -- sent_at is read from the newest version of the row: the event may be being sent at this moment
  delete from muster.outbox o using chosen
  where o.id = chosen.id and o.sent_at is null
  returning o.id, o.function, o.key, o.event_id, o.type
),
next_due as (
  update muster.outbox o set due_at = now()
  from deleted, lateral (
    select higher.id from muster.outbox higher
    where higher.function = deleted.function and higher.key = deleted.key and higher.id > deleted.id
      and coalesce(higher.sent_at, higher.failed_at) is null
    order by higher.id limit 1
  ) as next
  where o.id = next.id and o.worker is null
)
select event_id as "eventId", type from deleted order by id;
