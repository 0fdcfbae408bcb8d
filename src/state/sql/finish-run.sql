-- Marks one run as done. It is the last statement of the handler's transaction: as the first one, an ingest
-- batch that changes this set would wait for the handler, with all of its 256 events.
--
-- Raises an error if the caller no longer holds the run, so that the COMMIT, which is sent right behind this
-- statement without waiting for its result, rolls everything back.
--
-- $1 function  $2 hash of the key  $3 token  $4 attempt  $5 late changes before the lease  $6 start of the lease
with done as (
  update muster.sets
  set state = 'done', finished_at = now(), due_at = null, attempt = $4, started_at = $6, late = late - $5, error = null
  where function = $1 and key_hash = $2 and token = $3 and state = 'pending'
  returning key_hash
)
select muster.fence(false) where not exists (select from done);
