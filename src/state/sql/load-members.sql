-- The rows of complete sets, for their handlers. A statement of its own after the filing one: that
-- one's snapshot does not show the rows it wrote.
--
-- $1 function  $2 key
select m.function, m.key, m.lane, m.id, m.version, m.columns::text, m.since, encode(m.trace, 'hex') as trace
from unnest($1::int[], $2::text[]) as mine (function, key)
join muster.member m on m.function = mine.function and m.key = mine.key
where m.held
order by m.function, m.key, m.lane, m.id;
