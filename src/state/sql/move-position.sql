-- Moves a partition's position over a chunk, if it is where the chunk begins. No row: somebody else
-- moved it, and what belongs to the chunk must not be written.
--
-- The first statement of the chunk's transaction: a second owner of the partition waits here, before it
-- has done any work, and then finds that there is nothing for it to do.
--
-- What is known of the log's end is as old as the fetch: that there are more records holds, that there are
-- none does not, and is left for the owner to see (report-progress.sql).
--
-- $1 function  $2 topic  $3 partition  $4 from  $5 next  $6 log end  $7 timestamp of the record at next - 1
update muster.position
set next = $5::bigint, log_end = greatest($5::bigint, $6::bigint), last_timestamp = $7::bigint,
    reported_at = case when $6::bigint > $5::bigint then now() else reported_at end
where function = $1::int and topic = $2::text and partition = $3::int and next = $4::bigint
  and problem is null;
