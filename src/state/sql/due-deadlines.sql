-- Returns deadlines that are due, with those of their sets that look incomplete. Other workers skip them and
-- take other deadlines.
--
-- $1 functions  $2 maximum number of deadlines
with page as materialized (
  select id, function, keys from muster.deadline
  where function = any ($1::int[]) and due_at <= now()
  order by due_at
  limit $2
  for update skip locked
)
select p.id, p.function,
       array(select k.key_hash from unnest(p.keys) as k (key_hash), lateral (
               select s.fresh, s.counts from muster.sets s where s.function = p.function and s.key_hash = k.key_hash offset 0
             ) s
             where s.fresh > 0 and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)) as keys
from page p join muster.function f on f.id = p.function;
