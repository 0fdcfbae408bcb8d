-- What became of events: sent, refused for good, or to be tried again.
--
-- $1 id  $2 'sent', 'failed' or 'again'  $3 milliseconds to wait before trying again  $4 error
update muster.outbox o
set sent_at = case when v.verdict = 'sent' then now() end,
    failed_at = case when v.verdict = 'failed' then now() end,
    due_at = now() + make_interval(secs => v.wait / 1000),
    error = v.error
from unnest($1::bigint[], $2::text[], $3::float8[], $4::text[]) as v (id, verdict, wait, error)
where o.id = v.id and o.sent_at is null;
