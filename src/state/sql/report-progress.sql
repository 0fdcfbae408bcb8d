-- Notes the log ends that a partition's owner has just seen, also where nothing new is there: so
-- settling can tell an idle partition from one that nobody reads. Gives whether the function is paused,
-- and the positions, which a person may have moved.
--
-- What was seen is as old as the moment before the owner looked: by a process that was stopped since, it
-- would be new. Whoever has looked later is right.
--
-- Rows that a chunk holds are left out: the chunk says the same, and this must not wait for it.
--
-- $1 function  $2 topic  $3 partitions  $4 log end of each  $5 before it looked; null: now
with free as (
  select p.partition
  from muster.position p
  where p.function = $1::int and p.topic = $2::text and p.partition = any ($3::int[])
  for no key update skip locked
), seen as (
  update muster.position p
  set log_end = greatest(p.next, u.log_end), reported_at = coalesce($5::timestamptz, now())
  from unnest($3::int[], $4::bigint[]) as u (partition, log_end), free
  where u.partition = free.partition
    and p.function = $1 and p.topic = $2 and p.partition = free.partition
    and p.reported_at <= coalesce($5::timestamptz, now())
)
select f.paused, p.partition, p.next
from muster.function f
left join muster.position p on p.function = f.id and p.topic = $2 and p.partition = any ($3)
where f.id = $1;
