-- Rolling counts and speeds of travelers. ../fold/fold.ts defines the numbers and how they are computed from samples.
-- Times that are shown to people are timestamptz; times that are computed with are microseconds since 1970 UTC, like
-- those of samples.
--
--   progress    one row: the progress of the fold. Everything before folded_to is in `bucket`; everything
--               before final_to never changes again.
--   partition   one row per partition of the topic: its newest time, and the time that it has reached, which
--               determines whether a sample is late (../ingest/heard.ts).
--   staged      samples that are not folded yet, packed by ../fold/samples.ts, one row per chunk: one row per
--               sample would take twice the WAL and the CPU time, even without being folded.
--   sensor      one row per sensor that has been heard, with the travelers in its view at folded_to, packed by
--               ../fold/samples.ts: one row per traveler would be rewritten for each of its samples.
--   bucket      sums, extremes and counts of the travelers at a sensor in a period of time. They merge exactly.
--               Sensor -1 is the sum of all sensors.
--   late        by minute, the number of samples that arrived too late to be folded, and of those that were
--               ahead of the time of other sensors because the clock of their sensor is fast.

-- `create schema if not exists` would require the privilege to create schemas even if this one exists.
do $$
begin
  if to_regnamespace('travelers') is null then create schema travelers; end if;
end $$;

create table travelers.progress (
  only_row      boolean primary key default true check (only_row),
  watermark     bigint not null default 0,   -- µs; an older sample is late, and is not staged any more
  folded_to     bigint not null default 0,   -- µs; everything older is folded
  final_to      bigint not null default 0,   -- µs; everything older is final
  minutes_to    bigint not null default 0,   -- µs; minutes that end by then have been rolled up
  hours_to      bigint not null default 0,   -- µs; hours that end by then have been rolled up
  seconds_from  bigint not null default 0,   -- µs; older seconds have been removed, only minutes are kept
  minutes_from  bigint not null default 0,   -- µs; older minutes have been removed, only hours are kept
  visit_timeout bigint not null default 10000000 -- µs; setting of the process that last folded
);
insert into travelers.progress default values;

create table travelers.partition (
  topic     text collate "C" not null,
  partition int not null,
  newest    bigint not null,                 -- µs; the newest time of its samples; 0 = none yet
  sensor    int not null default -1,         -- the sensor of that sample
  second    bigint not null default 0,       -- µs; the newest time of any other sensor
  doubts    smallint not null default 0,     -- number of samples that contradict the newest time, at most 2
  reached   bigint not null,                 -- µs; the time that the partition has reached: newest, or second
  heard_at  timestamptz not null,            -- when its last chunk was staged, by this database's clock
  primary key (topic, partition)
) with (fillfactor = 50);

create table travelers.staged (
  id      bigint generated always as identity primary key,
  oldest  bigint not null,                   -- µs; the oldest time of its samples
  newest  bigint not null,                   -- µs; the newest time of its samples
  samples int not null,
  data    bytea not null
);
-- Positions and ids are practically random: compression would cost time and save no space.
alter table travelers.staged alter column data set storage external;
-- Rows live for seconds. With the default settings, their space would be reused only after minutes.
alter table travelers.staged set (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
  toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 20000
);

create table travelers.sensor (
  id          int primary key,
  first_heard timestamptz not null,          -- time of its oldest sample
  last_heard  timestamptz not null,          -- time of its newest sample
  in_view     bytea not null                 -- the last samples of the travelers in view
) with (fillfactor = 50);
alter table travelers.sensor alter column in_view set storage external;

create table travelers.bucket (
  seconds   int not null,                    -- length of the bucket: 1, 60 or 3600
  sensor    int not null,                    -- -1 = all
  start     timestamptz not null,
  type      smallint not null,               -- 0 pedestrian, 1 bicyclist, 2 vehicle
  at_start  int not null,                    -- travelers in view at its start whose visits began before
  entered   int not null,                    -- visits whose first sample is in it
  left_view int not null,                    -- visits whose last sample is in it
  samples   int not null,
  path      numeric not null,                -- feet; path of the parts of segments that lie in it; 15 decimals
  moved     bigint not null,                 -- µs; time of the same parts
  slowest   float8,                          -- feet per second; of whole segments that touch it
  fastest   float8,                          -- likewise
  histogram bytea,                           -- µs by speed, packed by ../fold/histogram.ts
  primary key (seconds, sensor, start, type)
) with (fillfactor = 80);

create table travelers.late (
  sensor  int not null,
  start   timestamptz not null,              -- start of the minute
  samples bigint not null,                   -- samples that were too late to be counted
  ahead   bigint not null default 0,         -- samples contradicted by other sensors; they are counted
  primary key (sensor, start)
);
