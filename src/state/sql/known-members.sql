-- What is known of rows by id, for a change that lacks deciding columns. Without a lock: a row that is
-- not there yet could not be locked, and one of a later part, locked first, would deadlock with a
-- neighbour's batch. muster.resolve leaves a row unresolved that was made without knowing the one it meets.
--
-- $1 functions  $2 ids  $3 source
select function, part_index as "partIndex", source, id, version, at, commits, purged, columns::text, missing_columns::text as "missingColumns" from muster.member
where function = any ($1::int[]) and part_index between 1 and 16 and source = $3 and id = any ($2::text[]);
