-- Marks one run as done. It is the last statement of the handler's transaction: as the first one, an ingest
-- batch that withdraws this set would wait for the handler, with all of its 256 events.
--
-- Raises an error if the caller no longer holds the run, so that the COMMIT, which is sent right behind this
-- statement without waiting for its result, rolls everything back.
--
-- $1 function  $2 key  $3 token
with done as (
  update muster.run
  set state = 'done', finished_at = now(), worker = null, error = null
  where function = $1 and key = $2 and token = $3 and state::text = 'running'
  returning key
)
select muster.fence(false) where not exists (select from done);
