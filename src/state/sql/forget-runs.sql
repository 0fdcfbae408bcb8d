-- Deletes runs that are done and whose sets are purged: if such a set arrives again later, it runs again.
--
-- The new run must not get a token or a revision that the set had before: a worker that was paused all the
-- while would commit its old attempt, and two completions would share one idempotency key. So a run is created
-- above function.forgotten_token and forgotten_revision (ingest-changes.sql), and a run is only deleted if it is
-- not above these. purge.ts raises them before, behind the barrier: by then every ingest statement that is
-- older than the raised values has committed, and has updated the run if it concerned it. If this statement
-- raised them itself, an ingest statement that had taken its snapshot before, and reached the run afterwards,
-- would start with token 1 again.
--
-- $1 function  $2 after this key  $3 seconds since done  $4 page size
with page as materialized (
  select key from muster.run where function = $1 and key > $2 order by key limit $4
),
locked as materialized (
  select r.function, r.key from page
  join muster.run r on r.function = $1 and r.key = page.key
  join muster.function f on f.id = r.function
  -- checked again under the row's lock: another worker may be ingesting the set again
  where r.state::text = 'done' and not r.complete
    and r.finished_at < now() - make_interval(secs => $3::float8)
    and r.token <= f.forgotten_token and r.revision <= f.forgotten_revision
    and not exists (select from muster.sets s where s.function = $1 and s.key = page.key)
  order by r.function, r.key collate "C"
  for update of r
)
delete from muster.run r using locked l where r.function = l.function and r.key = l.key;
