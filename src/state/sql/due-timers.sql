-- Timers that are due.
--
-- $1 functions  $2 at most so many
select function, key from muster.timer
where function = any ($1::int[]) and fired_at is null and due_at <= now()
order by due_at
limit $2;
