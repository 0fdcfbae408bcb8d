-- Deletes parked events of the oldest page that were parked too long ago. Ids grow with the time of parking,
-- so the first page holds the oldest events, and no index on the time is needed.
--
-- $1 age in seconds  $2 maximum number of events
with page as materialized (
  select id, parked_at from muster.parked order by id limit $2::int
)
delete from muster.parked p
using page
where p.id = page.id and page.parked_at < now() - make_interval(secs => $1::float8);
