-- Returns the highest token and revision of the sets of a page that may be deleted by forget-runs.sql. The token is
-- at least 1, also if only sets without a run are forgotten: above 0, it tells that sets were forgotten at all.
--
-- $1 function  $2 after this hash  $3 seconds since done  $4 page size
with page as materialized (
  select key_hash, token, revision,
         state is not distinct from 'done' and purged and not complete and finished_at < now() - make_interval(secs => $3::float8) as old
  from muster.sets where function = $1 and key_hash > $2 order by key_hash limit $4
)
select max(key_hash::text) as last,
       case when bool_or(old) then greatest(max(token) filter (where old), 1) else -1 end::text as token,
       coalesce(max(revision) filter (where old), -1) as revision,
       coalesce((select bool_or(old) and (f.forgotten_token < greatest(max(token) filter (where old), 1)
                                          or f.forgotten_revision < max(revision) filter (where old))
                 from muster.function f where f.id = $1), false) as beyond
from page;
