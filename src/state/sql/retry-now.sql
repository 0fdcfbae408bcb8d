-- Makes runs that wait for their next attempt due at once. Their attempts stay counted. Locks in the order of
-- retry-failed.sql.
--
-- $1 function  $2 key; null = all  $3 page size
with page as materialized (
  select function, key from muster.run
  where function = $1::int and state = 'ready' and complete and due_at > now() and ($2::text is null or key = $2)
  order by due_at
  limit $3
),
locked as materialized (
  select r.function, r.key from page join muster.run r on r.function = page.function and r.key = page.key
  where r.state::text = 'ready' and r.due_at > now()
  order by r.function, r.key collate "C"
  for update of r
),
changed as (
  update muster.run r set due_at = now()
  from locked
  where r.function = locked.function and r.key = locked.key
  returning 1
)
select (select count(*)::int from page) as looked, (select count(*)::int from changed) as changed;
