-- Parks events, whole, each with the reason it could not be filed. One that was parked before only
-- counts: $8 says how often each of these came.
--
-- $1 digests, no two alike  $2 reasons  $3 details  $4 attributes, jsonb each  $5 content types
-- $6 content encodings  $7 bodies  $8 times
insert into muster.parked as p
  (digest, reason, detail, attributes, content_type, content_encoding, body, seen)
select digest, reason, detail, attributes::jsonb, content_type, content_encoding, body, seen
from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::int[])
  as u (digest, reason, detail, attributes, content_type, content_encoding, body, seen)
order by digest
on conflict (digest) do update set seen = p.seen + excluded.seen;
