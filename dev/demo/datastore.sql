-- The table of the headbands' service, unchanged by Muster: one row per recorded signal.
create schema datastore;

-- The label of a sensor or of its type: eeg, accelerometer, ecg.
create domain datastore.signal_label as text;

-- Nanoseconds since the start of the recording.
create type datastore.time_span as range (subtype = bigint);

create type datastore.sample_type as enum (
  'int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'float32', 'float64'
);

create table datastore.signal (
  id                        uuid primary key default gen_random_uuid(),
  data                      bytea,
  recording                 uuid not null,
  span                      datastore.time_span not null,
  sensor_label              datastore.signal_label,
  sensor_type               datastore.signal_label,
  channels                  text[],
  sample_unit               text,
  sample_resolution_in_unit double precision,
  sample_offset_in_unit     double precision,
  sample_type               datastore.sample_type,
  sample_rate               double precision,
  created_at                timestamptz default now()
);
