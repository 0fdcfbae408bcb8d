-- Marks runs as done and puts their outgoing events into the outbox, where the caller still holds them: the
-- same token, still pending. Returns only these; none for a worker that lost its lease.
--
-- Locks in key order, because ingest-changes.sql locks sets in that order too (8 deadlocks in 12 s otherwise): the
-- rows are looked up one by one, along the sorted list.
--
-- As the last statement of a handler's transaction, it raises an error if the caller no longer holds one of the
-- runs; finish-run.sql has the reasons, and does the same for one run.
--
-- $1 function  $2 hash of the key  $3 token  $4 attempt  $5 late changes before the lease  $6 start of the lease
-- $7 run of each event, by its position in $1 to $6  $8 event id  $9 type  $10 subject  $11 data (events, in the
-- order to send them)  $12 trace contexts of the events' runs  $13 whether the caller must hold all of the runs
with mine as materialized (
  select * from unnest($1::int[], $2::uuid[], $3::bigint[], $4::int[], $5::int[], $6::timestamptz[]) with ordinality
    as mine (function, key_hash, token, attempt, late, since, n)
  order by function, key_hash
),
done as (
  update muster.sets s
  set state = 'done', finished_at = now(), due_at = null, attempt = mine.attempt, started_at = mine.since, late = s.late - mine.late, error = null
  from mine
  where s.function = mine.function and s.key_hash = mine.key_hash
    and s.token = mine.token and s.state = 'pending'
  returning s.function, s.key, mine.n
),
sent as (
  -- only the first is due: record-deliveries.sql wakes the next
  insert into muster.outbox (function, key, event_id, type, subject, data, trace, due_at)
  select done.function, done.key, e.event_id, e.type, e.subject, e.data::json, e.trace,
         now() + case when lag(e.n) over (partition by e.n order by e.nth) is null then interval '0' else interval '1 minute' end
  from unnest($7::int[], $8::text[], $9::text[], $10::text[], $11::text[], $12::bytea[]) with ordinality
         as e (n, event_id, type, subject, data, trace, nth)
  join done on done.n = e.n
  order by e.nth
),
fenced as materialized (
  select muster.fence(false) where $13::boolean and (select count(*) from done) < cardinality($1::int[])
)
select n::int from done where not exists (select from fenced);
