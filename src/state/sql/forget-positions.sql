-- Forgets partitions that a topic no longer has because it was made anew with fewer of them: nobody would
-- ever read them again, and whatever waits for all partitions would wait for them for ever. A topic never
-- loses a partition otherwise, and the id is what tells: a list of partitions alone may be older than the
-- topic's last partition. What was never read of them is noted as lost.
--
-- $1 function  $2 topic  $3 id of the topic that has the name now  $4 its partitions
with gone as (
  delete from muster.position
  where function = $1::int and topic = $2::text and topic_id <> $3::text
    and partition <> all ($4::int[])
  returning function, topic, partition, next, log_end
), noted as (
  insert into muster.lost_records (function, topic, partition, first, next)
  select function, topic, partition, next, log_end from gone where log_end > next
  on conflict (function, topic, partition, first) do update set next = excluded.next, noticed_at = now()
)
select partition, next, greatest(log_end - next, 0) as lost from gone;
