-- Makes a page of failed runs ready again, starting with their first attempt.
--
-- Locks in key order, because ingest-changes.sql, finish-runs.sql and the purge lock run rows in that order
-- too: unsorted, this deadlocked with ingest 3 times in 1.2 million messages. Works page by page, so that the
-- locks are short and any number of failed runs fits into the statement timeout.
--
-- $1 function  $2 key; null = all  $3 failed until; a run that fails again during the loop is left out, so
-- that the loop ends  $4 page size
with page as materialized (
  select function, key from muster.run
  where function = $1::int and state = 'failed' and finished_at <= $3::timestamptz and ($2::text is null or key = $2)
  order by finished_at
  limit $4
),
locked as materialized (
  select r.function, r.key from page join muster.run r on r.function = page.function and r.key = page.key
  where r.state::text = 'failed' -- as text for the reason given in finish-runs.sql
  order by r.function, r.key collate "C"
  for update of r
),
changed as (
  update muster.run r
  set state = 'ready', attempt = 0, lost = 0, unstarted = null, due_at = now(), finished_at = null
  from locked
  where r.function = locked.function and r.key = locked.key
  returning 1
)
select (select count(*)::int from page) as looked, (select count(*)::int from changed) as changed;
