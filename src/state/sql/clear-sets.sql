-- What else is kept of sets whose members are purged. The run row stays: it is the marker that stops a
-- replay from running again. A statement of its own after purge-sets.sql, so that its snapshot is
-- younger than the locks on the sets: within that statement a run that a neighbour has just made
-- wanted again would be overlooked, and marks of overdue sets would be locked before their sets.
--
-- Needs no order: whoever locks several rows of these runs or marks holds the locks on their sets, as this
-- does.
--
-- $1 function  $2 keys
with unwanted as (
  update muster.run r set complete = false, error = null
  from unnest($2::text[]) as old (key)
  join muster.sets s on s.function = $1 and s.key = old.key
  join muster.function f on f.id = s.function
  where r.function = s.function and r.key = s.key and r.complete
    and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)
),
overdue as (
  delete from muster.overdue where function = $1 and key = any ($2::text[])
)
delete from muster.outbox where function = $1 and key = any ($2::text[]) and sent_at is not null;
