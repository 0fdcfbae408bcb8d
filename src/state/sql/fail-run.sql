-- Records a failed attempt: the run waits in the queue until it is due again, or fails permanently, which is
-- reported. The event id of the report contains the token, so that a set which is retried and fails again is
-- reported again.
--
-- $1 function  $2 hash of the key  $3 token  $4 milliseconds to wait; null = no further attempt  $5 error
-- $6 trace context  $7 attempt  $8 late changes before the lease  $9 start of the lease
with failed as (
  update muster.sets
  set state = case when $4::float8 is null then 'failed' else 'pending' end::muster.run_state,
      token = token + ($4::float8 is not null)::int,
      attempt = $7,
      late = late - $8,
      started_at = $9,
      due_at = case when $4::float8 is not null then now() + make_interval(secs => $4::float8 / 1000) end,
      finished_at = case when $4::float8 is null then now() end,
      lost = 0, -- its process survived
      start_recorded = null,
      error = $5
  where function = $1 and key_hash = $2 and token = $3 and state = 'pending'
  returning function, key, key_hash, revision, token, attempt, due_at, state, error
),
queued as (
  insert into muster.queue as q (function, due_at, key_hash, token, is_suspect)
  select function, coalesce(due_at, 'infinity'), key_hash, token, false from failed
  on conflict (function, due_at, key_hash) do update set token = excluded.token
),
reported as (
  insert into muster.outbox (function, key, event_id, type, subject, data, trace)
  select r.function, r.key, concat_ws('/', f.name, muster.header_safe(r.key), r.revision, 'failed', $3::bigint),
         'muster.set.failed', r.key,
         json_build_object('function', f.name, 'key', r.key, 'revision', r.revision, 'attempts', r.attempt, 'error', r.error), $6::bytea
  from failed r join muster.function f on f.id = r.function
  where r.state = 'failed'
)
select state from failed;
