-- An attempt failed: the run rests until it is due again, or for good.
--
-- The state is compared as text for the reason given in finish-runs.sql.
--
-- $1 function  $2 key  $3 token  $4 milliseconds to wait; null = no further attempt  $5 error
update muster.run
set state = case when $4::float8 is null then 'failed' else 'ready' end::muster.run_state,
    due_at = now() + make_interval(secs => coalesce($4::float8, 0) / 1000),
    finished_at = case when $4::float8 is null then now() end,
    pod = null,
    error = $5
where function = $1 and key = $2 and token = $3 and state::text = 'running'
returning state;
