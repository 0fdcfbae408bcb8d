-- Releases runs that did not finish, so that any worker may start them, at once or after a delay. The attempt
-- is not counted: the worker was asked to stop, or the database failed. Locks in key order.
--
-- $1 function  $2 hash of the key  $3 token  $4 milliseconds to wait
-- $5 whether each of them is to run alone, because together they took too long
with held as materialized (
  select s.function, s.key_hash
  from unnest($1::int[], $2::uuid[], $3::bigint[]) as mine (function, key_hash, token)
  join muster.sets s on s.function = mine.function and s.key_hash = mine.key_hash
  where s.token = mine.token and s.state = 'pending'
  order by s.function, s.key_hash
  for update of s
),
released as (
  update muster.sets s
  set token = s.token + 1, lost = greatest(s.lost, $5::boolean::int), due_at = now() + make_interval(secs => $4::float8 / 1000)
  from held
  where s.function = held.function and s.key_hash = held.key_hash
  returning s.function, s.due_at, s.key_hash, s.token, s.lost
)
insert into muster.queue as q (function, due_at, key_hash, token, is_suspect)
select function, due_at, key_hash, token, lost > 1 from released
order by function, key_hash
on conflict (function, due_at, key_hash) do update set token = excluded.token;
