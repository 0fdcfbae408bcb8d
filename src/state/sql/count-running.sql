-- Counts the runs of a function that are leased to any worker. The caller holds the lock of the function's row.
--
-- $1 function
select count(*)::int as running from muster.leased where function = $1;
