-- Returns the rows of complete sets, for their handlers. This is a separate statement after
-- ingest-changes.sql, because that statement's snapshot does not show the rows it wrote.
--
-- Columns are returned only up to a limit: once the running total of their sizes exceeds it, a row has null
-- in their place, and its set is loaded by a later statement. A size is read without decompressing the value,
-- unless it is compressed; the running total keeps no values, so it needs little memory for a set of any size.
--
-- $1 function  $2 hash of the key; each row has the position (n) of its set in these  $3 bytes
with measured as (
  select mine.n, m.part_index, m.source, m.id, m.version, m.since, m.trace, m.missing_columns, m.literals, m.columns,
         case when m.literals is not null then 0
              when pg_column_compression(m.columns) is null then pg_column_size(m.columns)
              else octet_length(m.columns::text) end as size
  from unnest($1::int[], $2::uuid[]) with ordinality as mine (function, key_hash, n)
  join muster.member m on m.function = mine.function and m.key_hash = mine.key_hash
  where m.in_set
),
limited as (
  select *, sum(size) over (order by n, part_index, source, id rows unbounded preceding) <= $3::float8 as fits from measured
)
select n::int, part_index as "partIndex", id, version, since, encode(trace, 'hex') as trace,
       case when missing_columns is not null then
         (select array_agg(missing.name order by missing.name)
          from jsonb_each(missing_columns) missing (name, filled) where missing.filled ->> 0 is null) end as unavailable,
       literals, fits, case when fits then columns::text end as columns
from limited
order by n, part_index, source, id;
