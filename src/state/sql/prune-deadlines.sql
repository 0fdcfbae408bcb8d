-- Removes complete sets from their deadlines. Most sets are complete soon after their first row, so a worker
-- is woken at the deadline only for sets that may be overdue. Takes no lock on the sets: a set that becomes
-- incomplete concurrently gets a new deadline (ingest-changes.sql).
--
-- $1 ids
with page as materialized (
  select id, function, keys from muster.deadline where id = any ($1::bigint[]) for update skip locked
),
waiting as materialized (
  select p.id,
         array(select k.key_hash from unnest(p.keys) as k (key_hash), lateral (
                 select s.fresh, s.counts from muster.sets s where s.function = p.function and s.key_hash = k.key_hash offset 0
               ) s
               where s.fresh > 0 and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)) as keys
  from page p join muster.function f on f.id = p.function
),
kept as (
  update muster.deadline d set pruned = true, keys = w.keys from waiting w
  where d.id = w.id and cardinality(w.keys) > 0
)
delete from muster.deadline d using waiting w where d.id = w.id and cardinality(w.keys) = 0;
