-- Where reading goes on in the partitions of a topic: where the rows say, at the earliest record where
-- there is none yet.
--
-- $1 function  $2 topic  $3 partitions  $4 earliest offset of each  $5 log end of each
with begun as (
  insert into muster.position (function, topic, partition, next, log_end)
  select $1::int, $2::text, partition, earliest, log_end
  from unnest($3::int[], $4::bigint[], $5::bigint[]) as u (partition, earliest, log_end)
  order by partition
  on conflict (function, topic, partition) do nothing
  returning partition, next, stamp, problem
)
select partition, next, stamp, problem from begun
union all
select p.partition, p.next, p.stamp, p.problem
from muster.position p
where p.function = $1::int and p.topic = $2::text and p.partition = any ($3::int[]);
