-- Rows that only stop older changes (deleted, or refused by the filter), once no older change can come
-- any more. They count in no set.
--
-- $1 functions  $2 seconds  $3 at most so many
with old as materialized (
  select function, lane, source, id from muster.member
  where not held and since < now() - make_interval(secs => $2::float8) and function = any ($1::int[])
  order by since
  limit $3
),
locked as materialized (
  select m.function, m.lane, m.source, m.id from old
  join muster.member m on m.function = old.function and m.lane = old.lane and m.source = old.source and m.id = old.id
  where not m.held
  order by m.function, m.lane, m.source, m.id
  for update of m
)
delete from muster.member m using locked l
where m.function = l.function and m.lane = l.lane and m.source = l.source and m.id = l.id;
