-- Deletes rows of failed runs that have begun again: a statement that starts such a run does not see the row if
-- both waited for the set. By token: a row that belongs to a newer failure stays.
--
-- $1 function
with stale as materialized (
  select q.key_hash, q.token from muster.queue q, lateral (
    select exists (select from muster.sets s
                   where s.function = q.function and s.key_hash = q.key_hash and s.token = q.token and s.state = 'failed') as is_current
    offset 0
  ) set
  where q.function = $1 and q.due_at = 'infinity' and not set.is_current
)
delete from muster.queue q using stale
where q.function = $1 and q.due_at = 'infinity' and q.key_hash = stale.key_hash and q.token = stale.token;
