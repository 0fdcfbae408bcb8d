-- Rolling counts and speeds of travelers. What the numbers mean and how samples become them is said in
-- ../fold.ts. Times that people look at are timestamptz; those that are computed with are
-- microseconds since 1970 UTC, because that is what samples carry.
--
--   progress    one row: how far the fold is. Everything before folded_to is in `bucket`; everything
--               before final_to never changes again.
--   partition   one row per partition of the topic: the newest time heard in it, and how far it has come,
--               against which a sample is late (../heard.ts).
--   staged      samples that are not folded yet, packed by ../samples.ts, one row per chunk: a row per
--               sample takes twice the log and the CPU, without being folded.
--   sensor      one row per sensor ever heard, with the travelers in its view at folded_to, packed by
--               ../samples.ts: a row per traveler would be rewritten for each sample of it.
--   bucket      what travelers did at a sensor in a length of time: sums, extremes, counts, which merge
--               exactly. Sensor -1 is the sum of all sensors.
--   late        samples that came too late to be folded, and those that the clock of their sensor put
--               ahead of what others say, by the minute they are of.
-- 'if not exists' needs the right to create schemas, also where this one exists
do $$
begin
  if to_regnamespace('travelers') is null then create schema travelers; end if;
end $$;

create table travelers.progress (
  only_row      boolean primary key default true check (only_row),
  watermark     bigint not null default 0,   -- µs; nothing older is staged any more: it would be late
  folded_to     bigint not null default 0,   -- µs; everything older is folded
  final_to      bigint not null default 0,   -- µs; everything older is final
  minutes_to    bigint not null default 0,   -- µs; minutes that end by then are there
  hours_to      bigint not null default 0,   -- µs; hours that end by then are there
  seconds_from  bigint not null default 0,   -- µs; older seconds are removed, only minutes are kept
  minutes_from  bigint not null default 0,   -- µs; older minutes are removed, only hours are kept
  visit_timeout bigint not null default 10000000 -- µs; of the process that folded last
);
insert into travelers.progress default values;

create table travelers.partition (
  topic     text collate "C" not null,
  partition int not null,
  newest    bigint not null,                 -- µs; the newest time of its samples; 0 = none yet
  sensor    int not null default -1,         -- whose it is
  second    bigint not null default 0,       -- µs; the newest time of any other sensor
  doubts    smallint not null default 0,     -- samples of others that contradict the newest time, at most 2
  reached   bigint not null,                 -- µs; how far the partition has come: newest, or second
  heard_at  timestamptz not null,            -- when it brought a record last, by this database's clock
  primary key (topic, partition)
) with (fillfactor = 50);

create table travelers.staged (
  id      bigint generated always as identity primary key,
  oldest  bigint not null,                   -- µs, of its samples
  newest  bigint not null,                   -- µs
  samples int not null,
  data    bytea not null
);
-- Positions and ids are as good as random: compression costs time and wins nothing.
alter table travelers.staged alter column data set storage external;
-- Rows live for seconds. Without this their space is found again only after minutes.
alter table travelers.staged set (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
  toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 20000
);

create table travelers.sensor (
  id          int primary key,
  first_heard timestamptz not null,          -- time of its oldest sample
  last_heard  timestamptz not null,
  in_view     bytea not null
) with (fillfactor = 50);
alter table travelers.sensor alter column in_view set storage external;

create table travelers.bucket (
  seconds   int not null,                    -- length: 1, 60 or 3600
  sensor    int not null,                    -- -1 = all
  start     timestamptz not null,
  type      smallint not null,               -- 0 pedestrian, 1 bicyclist, 2 vehicle
  at_start  int not null,                    -- travelers in view when it began, who came before
  entered   int not null,                    -- visits whose first sample is in it
  left_view int not null,                    -- visits whose last sample is in it
  samples   int not null,
  path      numeric not null,                -- feet, of the parts of segments that lie in it; 15 decimals
  moved     bigint not null,                 -- µs, of the same parts
  slowest   float8,                          -- feet per second, of whole segments that touch it
  fastest   float8,
  histogram bytea,                           -- µs by speed, packed by ../histogram.ts
  primary key (seconds, sensor, start, type)
) with (fillfactor = 80);

create table travelers.late (
  sensor  int not null,
  start   timestamptz not null,              -- the minute
  samples bigint not null,                   -- too late to be counted
  ahead   bigint not null default 0,         -- contradicted by others: they are counted in their minute
  primary key (sensor, start)
);
