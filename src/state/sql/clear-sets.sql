-- What else is kept of sets whose members are purged. The run row stays: it is the marker that stops a
-- replay from running again. A statement of its own after purge-sets.sql, so that its snapshot is
-- younger than the locks on the sets: within that statement a run that a neighbour has just made
-- wanted again would be overlooked, and marks of overdue sets would be locked before their sets.
--
-- $1 function  $2 keys
with broken as materialized (
  select r.function, r.key from unnest($2::text[]) as old (key)
  join muster.sets s on s.function = $1 and s.key = old.key
  join muster.function f on f.id = s.function
  join muster.run r on r.function = s.function and r.key = s.key
  where r.wanted and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)
  order by r.function, r.key
  for update of r
),
unwanted as (
  update muster.run r set wanted = false, error = null
  from broken b where r.function = b.function and r.key = b.key
),
overdue as (
  delete from muster.overdue where function = $1 and key = any ($2::text[])
)
delete from muster.outbox where function = $1 and key = any ($2::text[]) and sent_at is not null;
