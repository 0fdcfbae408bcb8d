-- Marks one run as done, as the last statement of its handler's transaction: first, an ingest batch that
-- withdraws this set would wait for the handler with all its 256 events.
--
-- Raises when the caller no longer holds the run, so that the COMMIT sent right behind it, without
-- waiting for the answer, rolls everything back.
--
-- $1 function  $2 key  $3 token
with done as (
  update muster.run
  set state = 'done', finished_at = now(), worker = null, error = null
  where function = $1 and key = $2 and token = $3 and state::text = 'running'
  returning key
)
select muster.fence(false) where not exists (select from done);
