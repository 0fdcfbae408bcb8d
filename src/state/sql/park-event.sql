-- Keeps an event aside, whole, with the reason it could not be filed.
--
-- $1 digest  $2 reason  $3 detail  $4 attributes  $5 content type  $6 body
insert into muster.parked as p (digest, reason, detail, attributes, content_type, body)
values ($1, $2, $3, $4, $5, $6)
on conflict (digest) do update set seen = p.seen + 1;
