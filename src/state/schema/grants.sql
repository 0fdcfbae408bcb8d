-- The privileges of each role in the state database. Every `muster migrate` applies them in one transaction:
-- privileges that a release no longer needs are revoked, and new tables are included.
--
--   muster_intake   Ingests events: versions, sets, and the runs they create; registers definitions. Can read
--                   neither the data of outgoing events nor parked events.
--   muster_run      Runs handlers, sends their events, handles deadlines, purges. Can add neither rows to a set
--                   nor runs, can't change rules, and can't read parked events.
--   muster_read     For people: explain, sets, parked, the console, doctor. Changes nothing.
--   muster_keda     Reads the counts of due work, by a view that reads with its owner's rights. Nothing else.
--
-- A worker both ingests and runs handlers: its login is a member of muster_intake and muster_run.
-- Locking rows requires the privilege to update them.

revoke all on all tables in schema muster from public, muster_intake, muster_run, muster_read, muster_keda;
revoke all on all functions in schema muster from public, muster_intake, muster_run, muster_read, muster_keda;
revoke all on schema muster from public, muster_intake, muster_run, muster_read, muster_keda;

grant usage on schema muster to muster_intake, muster_run, muster_read, muster_keda;
grant execute on all functions in schema muster to muster_intake, muster_run, muster_read;

grant select, insert, update on muster.function to muster_intake;
grant select, insert on muster.definition to muster_intake;
grant select, insert, update, delete on muster.part to muster_intake;
grant delete on muster.barrier to muster_intake; -- also allows locking the table
grant select, insert, update on muster.source to muster_intake;
grant select, insert, update, delete on muster.truncation to muster_intake;
grant select, insert, update, delete on muster.member to muster_intake;
grant select, insert, update on muster.sets to muster_intake;
grant select, insert, update, delete on muster.queue to muster_intake;
grant insert on muster.lease to muster_intake;
grant select on muster.leased, muster.run to muster_intake;
grant insert on muster.deadline to muster_intake;
-- for a response that explains a set: whether a worker would run it
grant select (id, serves, lease_until) on muster.worker to muster_intake;
grant select, delete on muster.overdue to muster_intake;
grant select (id, digest, reason, seen, functions, parked_at), insert, update (seen, functions), delete on muster.parked to muster_intake;
-- for a response that explains a set: its events, but not their data
grant select (id, function, key, event_id, type, sent_at, failed_at, attempts, error) on muster.outbox to muster_intake;

grant select, insert, update on muster.ignored to muster_intake;

grant select, insert, update, delete on muster.position to muster_intake;
grant select, insert, update on muster.lost_records to muster_intake;

grant select, update (evaluated_generation, purged_at, sink_missing_until, forgotten_token, forgotten_revision) on muster.function to muster_run;
grant delete on muster.barrier to muster_run; -- claims write to it, and a purge locks it
grant select on muster.definition, muster.part, muster.position to muster_run;
grant select, update, delete on muster.member to muster_run;
grant select, update, delete on muster.sets to muster_run;
grant select, insert, update, delete on muster.queue to muster_run;
grant select, insert, update, delete on muster.lease to muster_run;
grant select on muster.leased, muster.run to muster_run;
grant select, insert, update, delete on muster.worker to muster_run;
grant select, insert, update, delete on muster.deadline to muster_run;
grant select, insert, delete on muster.overdue to muster_run;
grant select, insert, update, delete on muster.outbox to muster_run;
grant select (last_at), delete on muster.ignored to muster_run;

grant select on all tables in schema muster to muster_read;

grant select on muster.due to muster_keda;
