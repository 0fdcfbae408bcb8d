-- Reminders one page after another.
--
-- $1 functions  $2 after this id  $3 at most so many
select id from muster.deadline where id > $2::bigint and function = any ($1::int[]) order by id limit $3;
