-- Tables of the function, in the database of Muster's state; `muster migrate` creates them.
create schema orders;

create table orders.shipment (
  order_id   text primary key,
  weight     int,
  shipped_at timestamptz not null default now()
);
