-- Makes a page of failed runs ready again, starting with their first attempt.
--
-- Locks in key order, because ingest-changes.sql, finish-runs.sql and the purge lock sets in that order too:
-- unsorted, this deadlocked with ingest 3 times in 1.2 million messages. Works page by page, so that the
-- locks are short and any number of failed runs fits into the statement timeout.
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
  set state = 'pending', token = s.token + 1, attempt = 0, lost = 0, start_recorded = null, due_at = now(), finished_at = null
  from locked
  where s.function = locked.function and s.key_hash = locked.key_hash
  returning s.function, s.due_at, s.key_hash, s.token
),
-- also rows whose run has begun again since; if such a run has failed again in the meantime, its row stays
removed as (
  delete from muster.queue q using page
  where q.function = $1 and q.due_at = 'infinity' and q.key_hash = page.key_hash and q.token = page.token
),
queued as (
  insert into muster.queue as q (function, due_at, key_hash, token, is_suspect)
  select function, due_at, key_hash, token, false from changed
  on conflict (function, due_at, key_hash) do update set token = excluded.token
)
select (select max(key_hash::text) from page) as last, (select count(*)::int from changed) as changed;
