-- Discards a page of failed runs: each is marked done, with a note of what happened, and never starts again.
-- The rows are not deleted, because without its row the next change of the set would run it. Locks in the
-- order of retry-failed.sql.
--
-- $1 function  $2 hash of the key; null = all  $3 after this hash  $4 page size
with page as materialized (
  select key_hash, token from muster.queue
  where function = $1::int and due_at = 'infinity' and ($2::uuid is null or key_hash = $2) and key_hash > $3::uuid
  order by key_hash
  limit $4
),
locked as materialized (
  select s.function, s.key_hash from (select * from page order by key_hash) page, lateral (
    select s.function, s.key_hash from muster.sets s
    where s.function = $1 and s.key_hash = page.key_hash and s.state = 'failed' and s.token = page.token
    for update
  ) s
),
changed as (
  update muster.sets s
  set state = 'done', finished_at = now(), error = concat('discarded by a person; the last error: ', s.error)
  from locked
  where s.function = locked.function and s.key_hash = locked.key_hash
  returning 1
),
-- also rows whose run has begun again since; if such a run has failed again in the meantime, its row stays
removed as (
  delete from muster.queue q using page
  where q.function = $1 and q.due_at = 'infinity' and q.key_hash = page.key_hash and q.token = page.token
)
select (select max(key_hash::text) from page) as last, (select count(*)::int from changed) as changed;
