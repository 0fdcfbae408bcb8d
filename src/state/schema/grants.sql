-- Who may do what in the state database. Sent by every `muster migrate`, as one transaction: what a
-- release no longer needs is taken away, and tables that are new are covered.
--
--   muster_intake   files events: versions, sets, the runs they bring to life; registers definitions.
--                   May not see what handlers send, nor read what is parked.
--   muster_run      runs handlers and sends their events, keeps deadlines, purges. May invent no row
--                   of a set and no run, change no rule, and sees nothing that is parked.
--   muster_read     people: explain, sets, parked, the console, doctor. Changes nothing.
--   muster_keda     counts of due work, by a view that reads with its owner's rights. Nothing else.
--
-- A process that serves does both: its login is a member of muster_intake and muster_run.
-- An update of rows that a statement only locks needs the right to update, too.

revoke all on all tables in schema muster from public, muster_intake, muster_run, muster_read, muster_keda;
revoke all on all functions in schema muster from public, muster_intake, muster_run, muster_read, muster_keda;
revoke all on schema muster from public, muster_intake, muster_run, muster_read, muster_keda;

grant usage on schema muster to muster_intake, muster_run, muster_read, muster_keda;
grant execute on all functions in schema muster to muster_intake, muster_run, muster_read;

grant select, insert, update on muster.function to muster_intake;
grant select, insert on muster.definition to muster_intake;
grant select, insert, update, delete on muster.part to muster_intake;
grant delete on muster.barrier to muster_intake; -- lets it lock the table, too
grant select, insert, update on muster.source to muster_intake;
grant select, insert, update, delete on muster.truncation to muster_intake;
grant select, insert, update, delete on muster.member to muster_intake;
grant select, insert, update on muster.sets to muster_intake;
grant select, insert, update on muster.run to muster_intake;
grant insert on muster.deadline to muster_intake;
-- for an answer that explains a set: is there a worker that would run it?
grant select (serves, lease_until) on muster.worker to muster_intake;
grant select, delete on muster.overdue to muster_intake;
grant select (id, digest, seen, functions, parked_at), insert, update (seen, functions), delete on muster.parked to muster_intake;
-- for an answer that explains a set: which events, not what is in them
grant select (id, function, key, event_id, type, sent_at, failed_at, attempts, error) on muster.outbox to muster_intake;

grant select, insert, update, delete on muster.position to muster_intake;
grant select, insert, update on muster.lost_records to muster_intake;

grant select, update (evaluated_generation, purged_at, sink_missing_until, forgotten_token, forgotten_revision) on muster.function to muster_run;
grant delete on muster.barrier to muster_run; -- claims are writers of it, and a purge locks it
grant select on muster.definition, muster.part, muster.position to muster_run;
grant select, update, delete on muster.member to muster_run;
grant select, insert, update, delete on muster.sets to muster_run;
grant select, update, delete on muster.run to muster_run;
grant select, insert, update, delete on muster.worker to muster_run;
grant select, insert, update, delete on muster.deadline to muster_run;
grant select, insert, delete on muster.overdue to muster_run;
grant select, insert, update, delete on muster.outbox to muster_run;

grant select on all tables in schema muster to muster_read;

grant select on muster.due to muster_keda;
