-- Returns sets and their status, human-readable. The missing parts are read only for the sets of the page.
--
-- $1 function name; null = all  $2 status; null = all  $3 only overdue sets  $4 page size
with page as materialized (
  select * from muster.set_status
  where ($1::text is null or function = $1)
    and ($2::text is null or status = $2)
    and (not $3::boolean or overdue)
  order by status = 'done', since nulls last, function, key
  limit $4::bigint
)
select page.function, page.key, page.status, page.overdue, page.since,
       case when page.overdue then page.overdue_at end as "overdueSince",
       (select coalesce(json_agg(json_build_object('part', p.name, 'have', coalesce(page.counts[p.part_index], 0), 'need', f.need[p.part_index]) order by p.part_index), '[]')
        from muster.function f
        join muster.part p on p.function = f.id and p.in_use
        where f.name = page.function and page.status = 'waiting' and coalesce(page.counts[p.part_index], 0) < f.need[p.part_index]) as missing,
       page.attempt, page.error
from page
order by page.status = 'done', page.since nulls last, page.function, page.key;
