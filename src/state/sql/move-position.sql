-- Moves a partition's position past a chunk, if the chunk begins at the position. Updates no row if another
-- process has moved the position; then nothing of the chunk may be written.
--
-- This is the first statement of the chunk's transaction: a second owner of the partition waits here, before
-- it has done any work, and then finds that nothing is left to do.
--
-- What a chunk knows about the end of the log is as old as its fetch. That more records exist stays true; that
-- none exist may not, and is left to the owner to find out (report-progress.sql).
--
-- $1 function  $2 topic  $3 partition  $4 from  $5 next  $6 log end  $7 timestamp of the record at next - 1
update muster.position
set next = $5::bigint, log_end = greatest($5::bigint, $6::bigint), last_timestamp = $7::bigint,
    reported_at = case when $6::bigint > $5::bigint then now() else reported_at end
where function = $1::int and topic = $2::text and partition = $3::int and next = $4::bigint
  and problem is null;
