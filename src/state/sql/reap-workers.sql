-- Releases the runs of workers whose lease has expired, and the events that they had claimed to send, so that
-- other workers continue a killed worker's work. Looks for leases without a live worker, not for those of
-- dead workers: a worker that was paused may have been given runs after its row was deleted.
--
-- If the handler of a run had not started, the attempt does not count; claim-runs.sql explains how that is
-- known. Such a run is careful from then on, but not a suspect.
--
-- After its first loss a run is due again at once. A handler that kills its process takes the other runs of
-- the process with it; from the second loss on, each of them waits for a random time, so that they do not
-- start together again, are not charged together, and do not fail together.
--
-- A set that is locked is being finished: its lease stays for the next round, which sees the outcome. A worker
-- that is locked is renewing its lease.
with dead as materialized (
  select id from muster.worker where lease_until < now() for update skip locked
),
expired as (
  delete from muster.worker w using dead where w.id = dead.id
),
lost as materialized (
  select l.claim, l.chunk, l.function, l.keys, l.tokens, l.attempts, l.starts from muster.lease l
  where not exists (select from muster.worker w where w.id = l.worker and w.lease_until >= now())
  for update skip locked
),
runs as materialized (
  select lost.claim, lost.chunk, lost.function, e.key_hash, e.token, e.start,
         e.attempt - (e.start = 'waiting')::int as attempt
  from lost, unnest(lost.keys, lost.tokens, lost.attempts, lost.starts) as e (key_hash, token, attempt, start)
),
held as materialized (
  select runs.* from (select * from runs order by function, key_hash) runs, lateral (
    select from muster.sets s
    where s.function = runs.function and s.key_hash = runs.key_hash and s.token = runs.token and s.state = 'pending'
    for update skip locked
  ) s
),
released as (
  update muster.sets s
  set token = s.token + 1, error = 'lease lost: the worker that ran it died or hung',
      attempt = held.attempt, lost = greatest(1, s.lost + (held.start <> 'waiting')::int),
      start_recorded = held.start = 'recorded',
      due_at = now() + make_interval(secs => case when held.attempt > 1 then random() * 2 ^ least(held.attempt - 1, 8) else 0 end)
  from held
  where s.function = held.function and s.key_hash = held.key_hash
  returning s.function, s.key, s.key_hash, s.due_at, s.token, s.lost
),
queued as (
  insert into muster.queue as q (function, due_at, key_hash, token, is_suspect)
  select function, due_at, key_hash, token, lost > 1 from released
  order by function, key_hash
  on conflict (function, due_at, key_hash) do update set token = excluded.token
),
locked as materialized (
  select runs.claim from runs, lateral (
    select from muster.sets s
    where s.function = runs.function and s.key_hash = runs.key_hash and s.token = runs.token and s.state = 'pending'
    offset 0
  ) s
  -- hashed; as an anti-join it took 3.6 s for 8,000 runs
  where (runs.function, runs.key_hash) not in (select function, key_hash from held)
),
ended as (
  delete from muster.lease l using lost
  where l.claim = lost.claim and l.chunk = lost.chunk and l.claim not in (select claim from locked)
),
unsent as materialized (
  select o.id from muster.outbox o
  where o.worker is not null
    and not exists (select from muster.worker p where p.id = o.worker and p.lease_until >= now())
  for update skip locked
),
returned as (
  update muster.outbox o set worker = null, due_at = now() from unsent where o.id = unsent.id
)
select function, key from released;
