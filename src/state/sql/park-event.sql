-- Parks an event, whole, with the reason why it could not be filed.
--
-- Only under the newest definitions, as in file-changes.sql: the reason may rest on the definition (its key
-- column, its filter), and a newer one may take the event as it is. A refused event comes again.
--
-- $1 digest  $2 reason  $3 detail  $4 attributes  $5 content type  $6 body
-- $7 ids, $8 registrations and $9 names of the caller's functions
with current as materialized (
  select count(*) = cardinality($7::int[]) as is_current
  from unnest($7::int[], $8::uuid[]) as mine (id, registration)
  join muster.function f on f.id = mine.id and f.registration = mine.registration
),
parked as (
  insert into muster.parked as p (digest, reason, detail, attributes, content_type, body, functions)
  select $1::bytea, $2::text, $3::text, $4::jsonb, $5::text, $6::bytea, $9::text[] from current where is_current
  on conflict (digest) do update
  set seen = p.seen + 1,
      functions = array(select distinct name from unnest(p.functions || excluded.functions) as u (name) order by name)
)
select is_current from current;
