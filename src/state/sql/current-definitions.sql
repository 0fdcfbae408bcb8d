-- Returns which of a worker's definitions are not the newest, and the generation that is registered instead;
-- null = none.
--
-- $1 names  $2 ids  $3 registrations
select mine.name, f.generation
from unnest($1::text[], $2::int[], $3::uuid[]) as mine (name, id, registration)
left join muster.function f on f.name = mine.name
where f.id is distinct from mine.id or f.registration is distinct from mine.registration;
