-- Returns what is known about rows by id, for a change that lacks deciding columns. Takes no locks: a row that
-- does not exist yet could not be locked, and a row of a later part, locked first, would deadlock with another
-- worker's batch. muster.resolve leaves a row unresolved if it was built without knowing the stored row.
--
-- $1 functions  $2 ids  $3 source
select m.function, m.part_index as "partIndex", m.source, m.id, m.version, m.at, m.commits, m.purged, m.literals, s.key,
       m.columns::text, m.missing_columns::text as "missingColumns"
from unnest($1::int[]) as mine (function)
join muster.part p on p.function = mine.function,
     unnest($2::text[]) as row (id),
     lateral (
       select * from muster.member m
       where m.function = p.function and m.part_index = p.part_index and m.source = $3 and m.id = row.id
       offset 0 -- one lookup in the primary key for each, regardless of the planner's estimates
     ) m
left join lateral (
  select s.key from muster.sets s where m.literals is not null and s.function = m.function and s.key_hash = m.key_hash offset 0
) s on true;
