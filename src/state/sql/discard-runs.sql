-- Discards a page of failed runs: each is marked done, with a note of what happened, and never starts again.
-- The rows are not deleted, because without its row the next change of the set would run it. Locks in the
-- order of retry-failed.sql.
--
-- $1 function  $2 key; null = all  $3 failed until  $4 page size
with page as materialized (
  select function, key from muster.run
  where function = $1::int and state = 'failed' and finished_at <= $3::timestamptz and ($2::text is null or key = $2)
  order by finished_at
  limit $4
),
locked as materialized (
  select r.function, r.key from page join muster.run r on r.function = page.function and r.key = page.key
  where r.state::text = 'failed'
  order by r.function, r.key collate "C"
  for update of r
),
changed as (
  update muster.run r
  set state = 'done', finished_at = now(), error = concat('discarded by a person; the last error: ', r.error)
  from locked
  where r.function = locked.function and r.key = locked.key
  returning 1
)
select (select count(*)::int from page) as looked, (select count(*)::int from changed) as changed;
