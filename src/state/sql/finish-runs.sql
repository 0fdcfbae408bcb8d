-- Marks runs as done and puts their outgoing events into the outbox, where the caller still holds them: the
-- same token, still running. Returns only these; none for a worker that lost its lease.
--
-- Locks in key order, because ingest-changes.sql locks run rows in that order too (8 deadlocks in 12 s
-- otherwise): the rows are looked up one by one, along the sorted list. Locks no set row; those come before
-- run rows in the lock order. A handler that writes in its own transaction uses finish-run.sql instead.
--
-- The state is compared as text so that the partial index of leased runs does not match: by statistics
-- gathered in a quiet moment it looks empty, and the planner would read all of it for each row.
--
-- $1 function  $2 key  $3 token
-- $4 run of each event, by its position in $1 to $3  $5 event id  $6 type  $7 subject  $8 data (events, in the
-- order to send them)  $9 trace contexts of the events' runs
with mine as materialized (
  select * from unnest($1::int[], $2::text[], $3::bigint[]) with ordinality as mine (function, key, token, n)
  order by function, key collate "C"
),
done as (
  update muster.run r
  set state = 'done', finished_at = now(), worker = null, error = null
  from mine
  where r.function = mine.function and r.key = mine.key
    and r.token = mine.token and r.state::text = 'running'
  returning r.function, r.key, mine.n
),
sent as (
  -- only the first is due: record-deliveries.sql wakes the next
  insert into muster.outbox (function, key, event_id, type, subject, data, trace, due_at)
  select done.function, done.key, e.event_id, e.type, e.subject, e.data::json, e.trace,
         now() + case when lag(e.n) over (partition by e.n order by e.nth) is null then interval '0' else interval '1 minute' end
  from unnest($4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[]) with ordinality
         as e (n, event_id, type, subject, data, trace, nth)
  join done on done.n = e.n
  order by e.nth
)
select n::int from done;
