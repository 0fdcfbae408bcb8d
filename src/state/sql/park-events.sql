-- Parks whole events, each with the reason why it could not be ingested. An event that was parked before is
-- only counted: $8 is the number of times each of these arrived.
--
-- Works only under the newest definitions, like ingest-changes.sql: the reason may depend on the definition
-- (its key column, its filter), and a newer one may be able to ingest the event. A refused event is redelivered.
--
-- $1 digests, all different  $2 reasons  $3 details  $4 attributes, jsonb each  $5 content types
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
