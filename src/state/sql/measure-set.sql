-- Returns the number of rows of a set and the size of their columns, but no columns; see load-members.sql.
--
-- $1 function  $2 hash of the key
select count(*)::int as rows,
       coalesce(sum(case when m.literals is not null then 0
                         when pg_column_compression(m.columns) is null then pg_column_size(m.columns)
                         else octet_length(m.columns::text) end), 0)::float8 as bytes
from muster.member m
where m.function = $1 and m.key_hash = $2 and m.in_set;
