-- Returns a page of deadlines in the order of their ids.
--
-- $1 functions  $2 after this id  $3 page size
select id from muster.deadline where id > $2::bigint and function = any ($1::int[]) order by id limit $3;
