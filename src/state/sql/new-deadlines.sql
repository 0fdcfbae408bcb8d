-- Returns deadlines whose sets have had some time to become complete, and that have not been pruned yet.
--
-- $1 functions  $2 seconds since the batch  $3 maximum number of deadlines
select id from muster.deadline
where function = any ($1::int[]) and not pruned and created_at < now() - make_interval(secs => $2::float8)
order by created_at
limit $3;
