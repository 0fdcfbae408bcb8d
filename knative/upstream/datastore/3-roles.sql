-- The login roles, each with its own password from the Secret `postgres`.
\getenv migrate MIGRATE_PASSWORD
\getenv serve SERVE_PASSWORD
\getenv console CONSOLE_PASSWORD
\getenv keda KEDA_PASSWORD
\getenv debezium DEBEZIUM_PASSWORD
\getenv headband HEADBAND_PASSWORD

-- Owns the tables, because only an owner can add a table to a publication.
create role datastore;
alter schema datastore owner to datastore;
alter table datastore.signal owner to datastore;
alter schema debezium owner to datastore;
alter table debezium.dbz_signal owner to datastore;
create role headband login password :'headband' in role datastore;
create role debezium login replication password :'debezium' in role datastore;
grant create on database app to debezium;

-- Muster keeps its state in the database that the handler reads and writes, so that a run, its writes and
-- its events commit together. `muster migrate` grants each of these roles its privileges.
create role muster_intake;
create role muster_run;
create role muster_read;
create role muster_keda;
create role migrate login password :'migrate';
grant create on database app to migrate;
create role serve login password :'serve' in role muster_intake, muster_run;
create role console login password :'console' in role muster_read;
create role keda login password :'keda' in role muster_keda connection limit 5;

-- The handler of `recordings` reads the signals of a span.
grant usage on schema datastore to muster_run;
grant select on datastore.signal to muster_run;
