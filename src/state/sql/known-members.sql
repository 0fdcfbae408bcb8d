-- Returns what is known about rows by id, for a change that lacks deciding columns. Takes no locks: a row that
-- does not exist yet could not be locked, and a row of a later part, locked first, would deadlock with another
-- worker's batch. muster.resolve leaves a row unresolved if it was built without knowing the stored row.
--
-- $1 functions  $2 ids  $3 source
select function, part_index as "partIndex", source, id, version, at, commits, purged, columns::text, missing_columns::text as "missingColumns" from muster.member
where function = any ($1::int[]) and part_index between 1 and 16 and source = $3 and id = any ($2::text[]);
