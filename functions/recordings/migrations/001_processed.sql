-- The effects of the function `recordings`: one row per processed set. There is deliberately no unique constraint:
-- if a set were processed twice, this table would show it.

-- `create schema if not exists` would require the privilege to create schemas even if this one exists.
do $$
begin
  if to_regnamespace('recordings') is null then create schema recordings; end if;
end $$;

create table recordings.processed (
  id           bigint generated always as identity primary key,
  recording    uuid not null,
  span         text not null,
  run_id       text not null,
  channels     jsonb not null,        -- channel labels by part
  seconds      double precision,      -- length of the span; null if unbounded
  processed_at timestamptz not null default now()
);
create index processed_recording on recordings.processed (recording, span);
