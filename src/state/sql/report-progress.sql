-- Stores the log ends that a partition's owner has just seen, even if there is nothing new, so that a
-- projection's settle function can tell an idle partition from one that no process reads. Returns whether the
-- function is paused, and the positions, which an operator may have moved.
--
-- The log ends are as old as the moment before the owner looked: a process that was stopped since then would
-- report them as new. The report of the owner that looked last wins.
--
-- Rows that a chunk has locked are skipped: the chunk writes the same values, and this must not wait for it.
--
-- $1 function  $2 topic  $3 partitions  $4 log end of each  $5 time just before the owner looked; null = now
with unlocked as (
  select p.partition
  from muster.position p
  where p.function = $1::int and p.topic = $2::text and p.partition = any ($3::int[])
  for no key update skip locked
), reported as (
  update muster.position p
  set log_end = greatest(p.next, u.log_end), reported_at = coalesce($5::timestamptz, now())
  from unnest($3::int[], $4::bigint[]) as u (partition, log_end), unlocked
  where u.partition = unlocked.partition
    and p.function = $1 and p.topic = $2 and p.partition = unlocked.partition
    and p.reported_at <= coalesce($5::timestamptz, now())
)
select f.paused, p.partition, p.next
from muster.function f
left join muster.position p on p.function = f.id and p.topic = $2 and p.partition = any ($3)
where f.id = $1;
