-- Records a failed attempt: the run waits until it is due again, or fails permanently, which is reported. The
-- event id of the report contains the token, so that a set which is retried and fails again is reported again.
--
-- The state is compared as text for the reason given in finish-runs.sql.
--
-- $1 function  $2 key  $3 token  $4 milliseconds to wait; null = no further attempt  $5 error
-- $6 trace context
with failed as (
  update muster.run
  set state = case when $4::float8 is null then 'failed' else 'ready' end::muster.run_state,
      due_at = now() + make_interval(secs => coalesce($4::float8, 0) / 1000),
      finished_at = case when $4::float8 is null then now() end,
      worker = null,
      lost = 0, -- its process survived
      error = $5
  where function = $1 and key = $2 and token = $3 and state::text = 'running'
  returning function, key, revision, token, attempt, state, error
),
reported as (
  insert into muster.outbox (function, key, event_id, type, subject, data, trace)
  select r.function, r.key, concat_ws('/', f.name, muster.header_safe(r.key), r.revision, 'failed', r.token),
         'muster.set.failed', r.key,
         json_build_object('function', f.name, 'key', r.key, 'revision', r.revision, 'attempts', r.attempt, 'error', r.error), $6::bytea
  from failed r join muster.function f on f.id = r.function
  where r.state = 'failed'
)
select state from failed;
