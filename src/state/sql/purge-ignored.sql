-- Deletes the counts of what has not arrived for a while. The table has a bound of a few hundred rows.
--
-- $1 age in seconds
delete from muster.ignored where last_at < now() - make_interval(secs => $1::float8);
