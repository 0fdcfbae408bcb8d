-- Reports overdue sets, once each, and deletes their deadlines. This is a separate statement after
-- lock-sets.sql, so that its snapshot is newer than the locks.
--
-- The deadline counts from the oldest fresh row that is in the set now. A run that is done shows that the set
-- was complete in time, regardless of later changes; a run in progress does not show it yet.
--
-- $1 ids of deadlines  $2 id, $3 function and $4 hash of the key of sets that looked incomplete
with due as materialized (
  select d.function, s.key_hash, s.key, d.due_at, f.name, f.need, s.counts,
         s.state is not distinct from 'pending'
           and exists (select from muster.leased l where l.function = s.function and l.key_hash = s.key_hash) as running,
         (select min(m.since) from muster.member m
          where m.function = s.function and m.key_hash = s.key_hash and muster.is_fresh(m.in_set, m.key_hash, m.history)) + f.overdue_after as at
  from unnest($2::bigint[], $3::int[], $4::uuid[]) as mine (id, function, key_hash)
  join muster.deadline d on d.id = mine.id
  join muster.function f on f.id = mine.function and f.overdue_after is not null
  join muster.sets s on s.function = mine.function and s.key_hash = mine.key_hash
  where s.fresh > 0
    and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)
    and s.state is distinct from 'done'
),
reported as (
  insert into muster.overdue (function, key_hash, due_at)
  select function, key_hash, max(due_at) from due where at <= now() and not running
  group by function, key_hash
  order by function, key_hash
  on conflict do nothing
  returning function, key_hash, due_at
),
rescheduled as (
  -- the row that was the oldest has left the set, so that a later one is the oldest; or a run is in progress
  insert into muster.deadline (function, due_at, pruned, keys)
  select function, case when running then now() + interval '30 seconds' else at end, true, array_agg(distinct key_hash)
  from due where running or at > now()
  group by 1, 2
),
deleted as (
  delete from muster.deadline where id = any ($1::bigint[])
),
missing as (
  select o.function, due.key, o.due_at, due.name,
         json_agg(json_build_object('part', p.name, 'have', coalesce(due.counts[p.part_index], 0), 'need', due.need[p.part_index])
                  order by p.part_index) filter (where coalesce(due.counts[p.part_index], 0) < due.need[p.part_index]) as parts
  from reported o
  -- several deadlines may contain the set, even with the same due_at
  cross join lateral (select name, function, key, need, counts from due
                      where due.function = o.function and due.key_hash = o.key_hash limit 1) due
  join muster.part p on p.function = due.function and p.in_use
  group by o.function, due.key, o.due_at, due.name
),
sent as (
  insert into muster.outbox (function, key, event_id, type, subject, data)
  select function, key, name || '/' || muster.header_safe(key) || '/overdue/' || extract(epoch from due_at)::numeric,
         'muster.set.overdue', key,
         json_build_object('function', name, 'key', key, 'overdueSince', due_at, 'missing', parts)
  from missing
  order by function, key
)
select name as function, key, parts as missing from missing;
