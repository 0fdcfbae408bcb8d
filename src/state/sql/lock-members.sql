-- Locks what is known of rows by id, in the lock order, for a change that lacks deciding columns.
--
-- $1 functions  $2 ids
select function, lane, id, version, at, live, columns::text, holes::text from muster.member
where function = any ($1::int[]) and lane between 1 and 16 and id = any ($2::text[])
order by function, lane, id
for update;
