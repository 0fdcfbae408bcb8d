-- The rows of complete sets, for their handlers. A statement of its own after the filing one: that
-- one's snapshot does not show the rows it wrote.
--
-- $1 function  $2 key; each row says of which of these it is
select mine.n::int, m.lane, m.id, m.version, m.columns::text, m.since,
       case when m.holes is not null then
         (select array_agg(h.name order by h.name) from jsonb_each(m.holes) h (name, filled) where h.filled = '0') end as unavailable,
       encode(m.trace, 'hex') as trace
from unnest($1::int[], $2::text[]) with ordinality as mine (function, key, n)
join muster.member m on m.function = mine.function and m.key = mine.key
where m.held
order by mine.n, m.lane, m.source, m.id;
