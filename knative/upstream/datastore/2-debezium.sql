-- Whoever wants rows sent again inserts a line here, and Debezium reads them once more.
create schema if not exists debezium;
create table if not exists debezium.dbz_signal (id text primary key, type text not null, data text);
