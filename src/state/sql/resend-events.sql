-- Makes events that the sink refused due again, as if they had never been sent. The id stays the same, so that
-- a receiver can detect a duplicate. Later events of the set may have been sent long ago.
--
-- $1 function  $2 key; null = of every set  $3 event id; null = every event
update muster.outbox o
set failed_at = null, due_at = now(), attempts = 0, error = null
where o.function = $1 and o.failed_at is not null
  and ($2::text is null or o.key = $2) and ($3::text is null or o.event_id = $3)
returning o.event_id as "eventId", o.type;
