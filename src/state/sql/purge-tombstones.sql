-- Deletes rows that only stop older changes (deleted, or rejected by the filter), once no older change can
-- arrive any more. They count in no set.
--
-- $1 function  $2 seconds  $3 maximum number of rows
with old as materialized (
  select function, part_index, source, id from muster.member
  where gone_on <= (now() - make_interval(secs => $2::float8))::date and since < now() - make_interval(secs => $2::float8)
    and function = $1::int
  order by gone_on
  limit $3
),
locked as materialized (
  select m.function, m.part_index, m.source, m.id from old
  join muster.member m on m.function = old.function and m.part_index = old.part_index and m.source = old.source and m.id = old.id
  where not m.in_set and m.since < now() - make_interval(secs => $2::float8)
  order by m.function, m.part_index, m.source, m.id
  for update of m
)
delete from muster.member m using locked l
where m.function = l.function and m.part_index = l.part_index and m.source = l.source and m.id = l.id;
