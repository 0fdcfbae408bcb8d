-- Notes the log ends that a partition's owner has just seen, also where nothing new is there: so
-- settling can tell an idle partition from one that nobody reads.
--
-- Rows that a chunk holds are left out: the chunk says the same, and this must not wait for it.
--
-- $1 function  $2 topic  $3 partitions  $4 log end of each
update muster.position p
set log_end = greatest(p.next, u.log_end), seen_at = now()
from unnest($3::int[], $4::bigint[]) as u (partition, log_end),
     lateral (select from muster.position q
              where q.function = $1::int and q.topic = $2::text and q.partition = u.partition
              for no key update skip locked) as free
where p.function = $1::int and p.topic = $2::text and p.partition = u.partition;
