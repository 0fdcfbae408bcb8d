-- Deletes sets that are done and purged: if such a set arrives again later, it runs again.
--
-- The new run must not get a token or a revision that the set had before: a worker that was paused all the
-- while would commit its old attempt, and two completions would share one idempotency key. So a run is created
-- above function.forgotten_token and forgotten_revision (ingest-changes.sql), and a set is only deleted if it is
-- not above these. purge.ts raises them before, behind the barrier: by then every ingest statement that is
-- older than the raised values has committed, and has updated the set if it concerned it. If this statement
-- raised them itself, an ingest statement that had taken its snapshot before, and reached the set afterwards,
-- would start with token 1 again.
--
-- $1 function  $2 after this hash  $3 seconds since done  $4 page size
with page as materialized (
  select key_hash from muster.sets where function = $1 and key_hash > $2 order by key_hash limit $4
),
locked as materialized (
  select s.function, s.key_hash from (select * from page order by key_hash) page join muster.function f on f.id = $1, lateral (
    select s.function, s.key_hash from muster.sets s
    -- checked again under the row's lock: another worker may be ingesting the set again
    where s.function = $1 and s.key_hash = page.key_hash
      and s.state = 'done' and s.purged and not s.complete
      and s.finished_at < now() - make_interval(secs => $3::float8)
      -- a purged row's columns follow from the key
      and not exists (select from muster.member m where m.function = s.function and m.key_hash = s.key_hash and m.literals is not null offset 0)
      and s.token <= f.forgotten_token and s.revision <= f.forgotten_revision
    for update
  ) s
)
delete from muster.sets s using locked l where s.function = l.function and s.key_hash = l.key_hash;
