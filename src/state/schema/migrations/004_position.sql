-- How far projections are in the partitions of their topics.
--
--   position       one row per partition: everything below `next` is applied. Whoever applies a chunk
--                  moves it in the same transaction, from where it must be: that is the fence.
--   lost_records   offsets that a topic no longer held when they were to be read: a row for each gap.

alter table muster.function add column topic text;  -- of a projection; null for functions of sets

create table muster.position (
  function  int not null references muster.function,
  topic     text collate "C" not null,
  partition int not null,
  next      bigint not null,
  last_timestamp     bigint,                    -- timestamp of the record at next - 1, epoch ms: another one there
                                       -- says that the topic was made anew; null = not known
  log_end   bigint not null,           -- offset behind the newest record when the owner last looked
  reported_at   timestamptz not null default now(),
  topic_id  text,                      -- of the topic that the position is of; null = not known
  problem   text,                      -- why the partition rests until somebody decides
  primary key (function, topic, partition)
) with (fillfactor = 50);

create table muster.lost_records (
  function    int not null references muster.function,
  topic       text collate "C" not null,
  partition   int not null,
  first       bigint not null,         -- offset of the first record that is lost
  next        bigint not null,         -- where reading went on
  noticed_at  timestamptz not null default now(),
  primary key (function, topic, partition, first)
);
