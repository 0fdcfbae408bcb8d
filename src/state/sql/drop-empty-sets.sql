-- Deletes sets that count no members and have never been complete. A row that another worker adds to concurrently
-- is checked again under its lock, and stays. A set that consists only of history has no fresh rows but is not
-- empty. A set that has been complete keeps its token: forget-runs.sql decides about it.
--
-- $1 function  $2 hashes of the keys
with locked as materialized (
  select s.function, s.key_hash from (select key_hash from unnest($2::uuid[]) as empty (key_hash) order by key_hash) empty, lateral (
    select s.function, s.key_hash from muster.sets s
    where s.function = $1 and s.key_hash = empty.key_hash and s.state is null and s.fresh = 0 and 0 = all (s.counts)
    for update
  ) s
)
delete from muster.sets s using locked l where s.function = l.function and s.key_hash = l.key_hash;
