-- Which process is about to send an event, so that reap-workers.sql frees what a dead one had taken: else
-- it would wait until nobody can still be sending it, a minute.
alter table muster.outbox add column worker uuid;
create index outbox_taken on muster.outbox (worker) where worker is not null;
