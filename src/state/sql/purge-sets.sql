-- Removes the members and sent events of sets that were done long ago. The run row stays: it is the
-- marker that stops a replay from running again. Counts change by deltas, as in file-changes.sql: a row
-- that a neighbour files meanwhile is not in this snapshot, and stays counted.
--
-- $1 function  $2 keys of done sets
with locked as materialized (
  select m.function, m.lane, m.id from unnest($2::text[]) as old (key)
  join muster.member m on m.function = $1 and m.key = old.key
  order by m.function, m.lane, m.id
  for update of m
),
gone as (
  delete from muster.member m using locked l
  where m.function = l.function and m.lane = l.lane and m.id = l.id
  returning m.function, m.lane, m.key, m.held, m.live
),
s as (
  insert into muster.sets as s (function, key, counts, live)
  select function, key,
         array(select -count(*) filter (where x = lane)::int
               from generate_series(1, 16) lane, unnest(array_agg(g.lane)) x group by lane order by lane),
         -count(*) filter (where g.live)::int
  from gone g where held
  group by function, key
  order by function, key collate "C"
  on conflict (function, key) do update
  set counts = muster.plus(s.counts, excluded.counts), live = s.live + excluded.live
  returning s.function, s.key, s.counts
),
unwanted as (
  update muster.run r set wanted = false, error = null
  from s join muster.function f on f.id = s.function
  where r.function = s.function and r.key = s.key and r.wanted
    and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)
),
timers as (
  delete from muster.timer t using unnest($2::text[]) as old (key) where t.function = $1 and t.key = old.key
),
sent as (
  delete from muster.outbox o using unnest($2::text[]) as old (key)
  where o.function = $1 and o.key = old.key and o.sent_at is not null
)
select count(*)::int as members from gone;
