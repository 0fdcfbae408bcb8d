-- Deletes what else is stored for sets whose members were purged. The row of a set stays if it has been complete:
-- it is the marker that prevents a replay from running the set again. This is a separate statement after
-- purge-sets.sql, so that its snapshot is newer than the locks on the sets: within that statement, a set that
-- another worker has just made complete again would be overlooked, and rows of overdue sets would be locked
-- before their sets.
--
-- The order does not matter here: every statement that locks several of these rows holds the locks on their
-- sets, as this one does.
--
-- $1 function  $2 hashes of the keys  $3 hashes of those of them that have no rows left
with marked as (
  update muster.sets s
  set complete = s.complete and muster.complete(s.counts, f.need, f.gate_need, f.gate_of),
      error = case when muster.complete(s.counts, f.need, f.gate_need, f.gate_of) then s.error end,
      purged = s.key_hash = any ($3::uuid[])
  from muster.function f
  where f.id = $1 and s.function = $1 and s.key_hash = any ($2::uuid[])
),
overdue as (
  delete from muster.overdue where function = $1 and key_hash = any ($2::uuid[])
)
delete from muster.outbox
where ctid = any (array(
  select o.row from muster.sets s, lateral (
    select o.ctid as row from muster.outbox o where o.function = $1 and o.key = s.key and o.sent_at is not null
    offset 0
  ) o
  where s.function = $1 and s.key_hash = any ($2::uuid[])));
