-- Makes runs that wait for their next attempt due at once. Their attempts stay counted. Locks in the order of
-- retry-failed.sql.
--
-- $1 function  $2 hash of the key; null = all  $3 after this hash  $4 page size
with page as materialized (
  select q.key_hash, q.token, q.due_at from muster.queue q
  cross join lateral (
    select from muster.sets s
    where s.function = q.function and s.key_hash = q.key_hash and s.token = q.token and s.complete
    offset 0 -- one lookup for each: with the sets first, 20,000 waiting runs took a minute
  ) s
  where q.function = $1::int and q.due_at > now() and q.due_at < 'infinity' and ($2::uuid is null or q.key_hash = $2)
    and q.key_hash > $3::uuid
  order by q.key_hash
  limit $4
),
locked as materialized (
  select s.function, s.key_hash, page.due_at, s.token from (select * from page order by key_hash) page, lateral (
    select s.function, s.key_hash, s.token from muster.sets s where s.function = $1 and s.key_hash = page.key_hash for update
  ) s
),
-- a run that has started in the meantime has no row any more
removed as (
  delete from muster.queue q using locked
  where q.function = locked.function and q.due_at = locked.due_at and q.key_hash = locked.key_hash and q.token = locked.token
  returning q.function, q.key_hash, q.token, q.is_suspect
),
changed as (
  update muster.sets s set due_at = now()
  from removed
  where s.function = removed.function and s.key_hash = removed.key_hash
  returning 1
),
queued as (
  insert into muster.queue as q (function, due_at, key_hash, token, is_suspect)
  select function, now(), key_hash, token, is_suspect from removed
  on conflict (function, due_at, key_hash) do update set token = excluded.token
)
select (select max(key_hash::text) from page) as last, (select count(*)::int from changed) as changed;
