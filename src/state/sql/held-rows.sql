-- Returns what is held of rows, in their order, to compare it with the table they come from. A row of a set that is
-- done is not held after the purge of that set, or only as a version; whether that set has got other rows since does
-- not matter.
--
-- $1 function  $2 source  $3 part indexes  $4 ids  $5 hashes of the keys that they have in the table; null = in no set
select coalesce(m.in_set, false) as "inSet", coalesce(m.key_hash = r.key_hash, false) as "hasKey", held.key as "heldKey",
       coalesce(wanted.state = 'done' and (m.id is null or m.purged and coalesce(m.key_hash = r.key_hash, true)), false) as "isPurged",
       f.forgotten_token > 0 and wanted.state is null as "mayBeForgotten"
from unnest($3::smallint[], $4::text[], $5::uuid[]) with ordinality as r (part_index, id, key_hash, n)
join muster.function f on f.id = $1
left join lateral (
  select m.id, m.in_set, m.purged, m.key_hash from muster.member m
  where m.function = $1 and m.part_index = r.part_index and m.source = $2 and m.id = r.id offset 0
) m on true
left join lateral (
  select s.key from muster.sets s where m.in_set and s.function = $1 and s.key_hash = m.key_hash offset 0
) held on true
left join lateral (
  select s.state from muster.sets s where s.function = $1 and s.key_hash = r.key_hash offset 0
) wanted on true
order by r.n;
