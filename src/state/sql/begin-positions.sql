-- Returns the positions of a topic's partitions, and creates the missing ones at the earliest offset.
--
-- Only missing rows are inserted: with on conflict alone, an insert would wait for every chunk that is in
-- progress in any of the partitions.
--
-- $1 function  $2 topic  $3 partitions  $4 earliest offset of each  $5 log end of each  $6 id of the topic
with known as (
  select partition, next, last_timestamp as "lastTimestamp", problem, topic_id as "topicId"
  from muster.position
  where function = $1::int and topic = $2::text and partition = any ($3::int[])
), begun as (
  insert into muster.position (function, topic, partition, next, log_end, topic_id)
  select $1, $2, u.partition, u.earliest, u.log_end, $6::text
  from unnest($3::int[], $4::bigint[], $5::bigint[]) as u (partition, earliest, log_end)
  where not exists (select from known where known.partition = u.partition)
  order by u.partition
  on conflict (function, topic, partition) do nothing
  returning partition, next, last_timestamp as "lastTimestamp", problem, topic_id
)
select * from known
union all
select * from begun;
