-- Parks whole records, each with the reason why it was not applied.
--
-- $1 digests  $2 reasons  $3 details  $4 attributes, jsonb each  $5 bodies
insert into muster.parked as p (digest, reason, detail, attributes, body)
select digest, reason, detail, attributes::jsonb, body
from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bytea[])
  as u (digest, reason, detail, attributes, body)
order by digest
on conflict (digest) do update set seen = p.seen + 1;
