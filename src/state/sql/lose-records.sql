-- Moves a partition's position past records that its topic no longer has, and records the gap. Inserts no row
-- if another process has moved the position.
--
-- $1 function  $2 topic  $3 partition  $4 from  $5 next
with moved as (
  update muster.position set next = $5::bigint, log_end = greatest(log_end, $5::bigint), last_timestamp = null, reported_at = now()
  where function = $1::int and topic = $2::text and partition = $3::int and next = $4::bigint
  returning function, topic, partition
)
insert into muster.lost_records (function, topic, partition, first, next)
select function, topic, partition, $4::bigint, $5::bigint from moved
on conflict (function, topic, partition, first) do update set next = excluded.next, noticed_at = now();
