-- The application's tables, for `npm run dev`. In production they are in the database that Debezium reads.
create schema shop;

create table shop.payment (
  id       int primary key generated always as identity,
  order_id int not null,
  status   text not null default 'authorized'
);

create table shop.parcel (
  id       int primary key generated always as identity,
  order_id int not null,
  weight   int
);
