-- Returns a row if any deadline of the functions is due.
--
-- $1 functions
select from muster.deadline where function = any ($1::int[]) and due_at <= now() limit 1;
