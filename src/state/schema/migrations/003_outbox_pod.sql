-- Which process is about to send an event, so that bury-pods.sql frees what a dead one had taken: else
-- it would wait until nobody can still be sending it, a minute.
alter table muster.outbox add column pod uuid;
create index outbox_taken on muster.outbox (pod) where pod is not null;
