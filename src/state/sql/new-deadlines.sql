-- Reminders whose sets have had a little time to become complete, and were not looked at since.
--
-- $1 functions  $2 seconds since the batch  $3 at most so many
select id from muster.deadline
where function = any ($1::int[]) and not pruned and created_at < now() - make_interval(secs => $2::float8)
order by created_at
limit $3;
