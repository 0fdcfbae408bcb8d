-- Deletes the positions of partitions that a topic no longer has because it was recreated with fewer of them:
-- they would never be read again, and everything that waits for all partitions would wait for them forever. A
-- topic loses partitions in no other way. The topic id decides, because a list of partitions alone may be older
-- than the topic's newest partition. The records that were not read are recorded as lost.
--
-- $1 function  $2 topic  $3 id of the topic that has the name now  $4 its partitions
with deleted as (
  delete from muster.position
  where function = $1::int and topic = $2::text and topic_id <> $3::text
    and partition <> all ($4::int[])
  returning function, topic, partition, next, log_end
), lost as (
  insert into muster.lost_records (function, topic, partition, first, next)
  select function, topic, partition, next, log_end from deleted where log_end > next
  on conflict (function, topic, partition, first) do update set next = excluded.next, noticed_at = now()
)
select partition, next, greatest(log_end - next, 0) as lost from deleted;
