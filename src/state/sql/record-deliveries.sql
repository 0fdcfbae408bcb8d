-- Records the outcomes of sending events: sent, refused permanently, or to be retried ('postponed' does not
-- count as an attempt). The next event of a set becomes due once the one before it has been sent or refused.
--
-- $1 id  $2 'sent', 'failed', 'again', 'blocked' or 'postponed'  $3 milliseconds to wait before the retry
-- $4 error
with recorded as (
  update muster.outbox o
  set sent_at = case when delivery.kind = 'sent' then now() end,
      failed_at = case when delivery.kind = 'failed' then now() end,
      due_at = now() + make_interval(secs => delivery.wait / 1000),
      attempts = o.attempts - (delivery.kind = 'postponed')::int,
      error = case when delivery.kind = 'postponed' then o.error else delivery.error end,
      worker = null
  from unnest($1::bigint[], $2::text[], $3::float8[], $4::text[]) as delivery (id, kind, wait, error)
  where o.id = delivery.id and o.sent_at is null
  returning o.id, o.function, o.key, delivery.kind
)
update muster.outbox o set due_at = now()
from recorded, lateral (
  select higher.id from muster.outbox higher
  where higher.function = recorded.function and higher.key = recorded.key and higher.id > recorded.id
    and coalesce(higher.sent_at, higher.failed_at) is null
  order by higher.id limit 1
) as next
where recorded.kind in ('sent', 'failed') and o.id = next.id;
