-- The rows of complete sets, for their handlers. A statement of its own after ingest-changes.sql: that
-- one's snapshot does not show the rows it wrote.
--
-- Columns come only up to a limit: where the sizes add up to more, a row has null in their place, and
-- its set is loaded by a later statement. A size is read without decompressing the value, unless it is
-- compressed; the sum holds no values, so that it needs little memory for any set.
--
-- $1 function  $2 key; each row says of which of these it is  $3 bytes
select n::int, part_index as "partIndex", id, version, since, encode(trace, 'hex') as trace,
       case when missing_columns is not null then
         (select array_agg(h.name order by h.name) from jsonb_each(missing_columns) h (name, filled) where h.filled = '0') end as unavailable,
       case when sum(size) over (order by n, part_index, source, id rows unbounded preceding) <= $3::float8
            then columns::text end as columns
from (
  select mine.n, m.part_index, m.source, m.id, m.version, m.since, m.trace, m.missing_columns, m.columns,
         case when pg_column_compression(m.columns) is null then pg_column_size(m.columns)
              else octet_length(m.columns::text) end as size
  from unnest($1::int[], $2::text[]) with ordinality as mine (function, key, n)
  join muster.member m on m.function = mine.function and m.key = mine.key
  where m.in_set
) sized
order by n, part_index, source, id;
