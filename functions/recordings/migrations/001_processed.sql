-- What process_record did, one row per effect. No unique constraint, on purpose: if a set were ever
-- processed twice, this table would show it.
-- 'if not exists' needs the right to create schemas, also where this one exists
do $$
begin
  if to_regnamespace('recordings') is null then create schema recordings; end if;
end $$;

create table recordings.processed (
  id           bigint generated always as identity primary key,
  recording    uuid not null,
  span         text not null,
  run_id       text not null,
  channels     jsonb not null,        -- part -> labels
  seconds      double precision,      -- length of the span; null if unbounded
  processed_at timestamptz not null default now()
);
create index processed_recording on recordings.processed (recording, span);
