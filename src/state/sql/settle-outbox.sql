-- What became of events: sent, refused for good, or to be tried again ('postponed': it was no attempt). The
-- next event of a set is due as soon as the one before it is settled.
--
-- $1 id  $2 'sent', 'failed', 'again', 'blocked' or 'postponed'  $3 milliseconds to wait before trying again  $4 error
with settled as (
  update muster.outbox o
  set sent_at = case when v.verdict = 'sent' then now() end,
      failed_at = case when v.verdict = 'failed' then now() end,
      due_at = now() + make_interval(secs => v.wait / 1000),
      attempts = o.attempts - (v.verdict = 'postponed')::int,
      error = case when v.verdict = 'postponed' then o.error else v.error end,
      worker = null
  from unnest($1::bigint[], $2::text[], $3::float8[], $4::text[]) as v (id, verdict, wait, error)
  where o.id = v.id and o.sent_at is null
  returning o.id, o.function, o.key, v.verdict
)
update muster.outbox o set due_at = now()
from settled, lateral (
  select higher.id from muster.outbox higher
  where higher.function = settled.function and higher.key = settled.key and higher.id > settled.id
    and coalesce(higher.sent_at, higher.failed_at) is null
  order by higher.id limit 1
) as next
where settled.verdict in ('sent', 'failed') and o.id = next.id;
