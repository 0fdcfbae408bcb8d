-- Parks events, whole, each with the reason it could not be ingested. One that was parked before only
-- counts: $8 says how often each of these came.
--
-- Only under the newest definitions, as in ingest-changes.sql: the reason may rest on the definition (its key
-- column, its filter), and a newer one may take the event as it is. A refused event comes again.
--
-- $1 digests, no two alike  $2 reasons  $3 details  $4 attributes, jsonb each  $5 content types
-- $6 content encodings  $7 bodies  $8 times
-- $9 ids, $10 registrations and $11 names of the caller's functions
with current as materialized (
  select count(*) = cardinality($9::int[]) as is_current
  from unnest($9::int[], $10::uuid[]) as mine (id, registration)
  join muster.function f on f.id = mine.id and f.registration = mine.registration
),
parked as (
  insert into muster.parked as p
    (digest, reason, detail, attributes, content_type, content_encoding, body, seen, functions)
  select digest, reason, detail, attributes::jsonb, content_type, content_encoding, body, seen, $11::text[]
  from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::int[])
    as u (digest, reason, detail, attributes, content_type, content_encoding, body, seen)
  where (select is_current from current)
  order by digest
  on conflict (digest) do update
  set seen = p.seen + excluded.seen,
      functions = array(select distinct name from unnest(p.functions || excluded.functions) as u (name) order by name)
)
select is_current from current;
