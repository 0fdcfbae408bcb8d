-- Records of the handlers: `started` as soon as an attempt starts, whatever its outcome; `effect` in the
-- handler's transaction. There is intentionally no unique constraint, so that an effect that happens twice
-- is recorded twice.
create schema recordings;

create table recordings.started (
  run       text not null,
  recording text not null,
  span      text not null,
  attempt   int not null,
  pod       text not null,
  at        timestamptz not null default clock_timestamp()
);

create table recordings.effect (like recordings.started including defaults);

create index on recordings.started (recording);
create index on recordings.effect (recording);
