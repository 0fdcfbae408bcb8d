-- Who logs in, each with a password of its own from the Secret `postgres`.
\getenv muster_password MUSTER_PASSWORD
\getenv keda_password KEDA_PASSWORD
\getenv debezium_password DEBEZIUM_PASSWORD
\getenv headband_password HEADBAND_PASSWORD

-- Owns the tables: only who does may publish them.
create role datastore;
alter schema datastore owner to datastore;
alter table datastore.signal owner to datastore;
alter schema debezium owner to datastore;
alter table debezium.dbz_signal owner to datastore;

create role headband login password :'headband_password' in role datastore;
create role debezium login replication password :'debezium_password' in role datastore;
grant create on database app to debezium;

-- Muster keeps its state in the database where the handler reads and writes: then its run, its writes
-- and its events commit together.
create role muster login password :'muster_password';
grant create on database app to muster;
grant usage on schema datastore to muster;
grant select on datastore.signal to muster;
create role muster_keda login password :'keda_password' connection limit 5;
