-- Adds what a worker has ignored since it last did: events of types, and changes of tables, that none of its
-- functions names. Senders choose the names: when the table has $6 of them, further ones are counted together in
-- the row of kind 'other', those that arrived most often first taking what room is left. The caller holds a lock,
-- without which two workers would pass the bound together.
--
-- $1 kinds  $2 names  $3 counts  $4 sources, of the latest each  $5 names of the worker's functions
-- $6 maximum number of names
with arrived as (
  select a.kind, a.name, a.count, a.source, i.name is not null as is_known,
         row_number() over (partition by i.name is null order by a.count desc, a.kind, a.name) as place
  from unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) as a (kind, name, count, source)
  left join muster.ignored i on i.kind = a.kind and i.name = a.name
  where a.kind <> 'other'
),
room as (
  select $6::int - count(*) as names from muster.ignored where kind <> 'other'
),
counted as (
  select kind, name, count, source from arrived, room where is_known or place <= room.names
  union all
  select 'other', '', sum(count)::bigint, max(source)
  from (
    select count, source from arrived, room where not is_known and place > room.names
    union all
    select a.count, a.source
    from unnest($1::text[], $3::bigint[], $4::text[]) as a (kind, count, source) where a.kind = 'other'
  ) others
  having count(*) > 0
)
insert into muster.ignored as i (kind, name, count, source, functions)
select kind, name, count, source, $5::text[] from counted
on conflict (kind, name) do update
set count = i.count + excluded.count, last_at = excluded.last_at, source = coalesce(excluded.source, i.source),
    functions = array(select distinct name from unnest(i.functions || excluded.functions) as u (name) order by name);
