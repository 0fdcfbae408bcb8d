-- Forgets done markers: from now on the same set, should it come again, runs again.
--
-- $1 function  $2 after this key  $3 seconds since done  $4 at most so many
with page as materialized (
  select key, state, finished_at from muster.run where function = $1 and key > $2 order by key limit $4
),
forgotten as (
  delete from muster.run r using page
  where r.function = $1 and r.key = page.key and page.state = 'done'
    -- looked at again under the row's lock: a neighbour may be filing the set anew
    and not r.wanted
    and page.finished_at < now() - make_interval(secs => $3::float8)
    and not exists (select from muster.sets s where s.function = $1 and s.key = page.key)
)
select max(key) as last from page;
