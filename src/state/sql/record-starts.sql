-- Records that handlers start: if their process dies, the attempt counts (claim-runs.sql explains when this is
-- needed). Returns the runs that are still leased. Locks in the order of the leases: two statements may have runs of
-- the same ones.
--
-- $1 claim  $2 function  $3 hash of the key  $4 token
with held as materialized (
  select l.claim, l.chunk, mine.key_hash, mine.n
  from unnest($1::uuid[], $2::int[], $3::uuid[], $4::bigint[]) with ordinality as mine (claim, function, key_hash, token, n)
  join muster.lease l on l.claim = mine.claim and l.function = mine.function and mine.key_hash = any (l.keys)
  join muster.sets s on s.function = mine.function and s.key_hash = mine.key_hash
  where s.token = mine.token and s.state = 'pending'
),
locked as materialized (
  select l.claim, l.chunk
  from (select distinct claim, chunk from held) mine
  join muster.lease l on l.claim = mine.claim and l.chunk = mine.chunk
  order by l.claim, l.chunk
  for update of l
),
recorded as (
  update muster.lease l
  set starts = array(
    select case when e.key_hash in (select h.key_hash from held h where h.claim = l.claim and h.chunk = l.chunk)
                then 'recorded' else e.start end
    from unnest(l.keys, l.starts) with ordinality as e (key_hash, start, nth) order by e.nth)
  from locked
  where l.claim = locked.claim and l.chunk = locked.chunk
  returning l.claim, l.chunk
)
select held.n::int from held join recorded on recorded.claim = held.claim and recorded.chunk = held.chunk;
