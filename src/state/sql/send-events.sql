-- Puts the outgoing events of one run into the outbox, in its handler's transaction. Only the first one is
-- due: record-deliveries.sql makes the next one due.
--
-- $1 function  $2 key  $3 event id  $4 type  $5 subject  $6 data (events, in the order to send them)
-- $7 trace context of the run
insert into muster.outbox (function, key, event_id, type, subject, data, trace, due_at)
select $1, $2, e.event_id, e.type, e.subject, e.data::json, $7::bytea,
       now() + case when e.nth = 1 then interval '0' else interval '1 minute' end
from unnest($3::text[], $4::text[], $5::text[], $6::text[]) with ordinality as e (event_id, type, subject, data, nth)
order by e.nth;
