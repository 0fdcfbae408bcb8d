-- Deletes what else is stored for sets whose members were purged. The run row stays: it is the marker that
-- prevents a replay from running the set again. This is a separate statement after purge-sets.sql, so that its
-- snapshot is newer than the locks on the sets: within that statement, a run that another worker has just
-- made complete again would be overlooked, and rows of overdue sets would be locked before their sets.
--
-- The order does not matter here: every statement that locks several of these runs or overdue rows holds the
-- locks on their sets, as this one does.
--
-- $1 function  $2 keys
with incomplete as (
  update muster.run r set complete = false, error = null
  from unnest($2::text[]) as purged (key)
  join muster.sets s on s.function = $1 and s.key = purged.key
  join muster.function f on f.id = s.function
  where r.function = s.function and r.key = s.key and r.complete
    and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)
),
overdue as (
  delete from muster.overdue where function = $1 and key = any ($2::text[])
)
delete from muster.outbox where function = $1 and key = any ($2::text[]) and sent_at is not null;
