-- What handlers leave behind: `started` as soon as an attempt begins, whatever becomes of it; `effect`
-- in the handler's transaction. No unique constraint, on purpose: an effect that happened twice stands
-- there twice.
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
