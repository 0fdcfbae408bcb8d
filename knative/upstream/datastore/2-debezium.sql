-- Debezium's signal table: inserting a row here makes Debezium read a table again.
create schema if not exists debezium;
create table if not exists debezium.dbz_signal (id text primary key, type text not null, data text);
