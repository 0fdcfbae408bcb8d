import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTestDatabase, runFunction } from 'musterjs/testing';
import orders from '../functions/orders.ts';

const payment = { table: 'shop.payment', row: { id: 1, order_id: 4711, status: 'captured' } };
const parcel = { table: 'shop.parcel', row: { id: 9, order_id: 4711, weight: 300 } };

void test('an order ships once it is paid and packed, in either order, and only once', async (t) => {
  const db = await createTestDatabase();
  t.after(() => db.close());
  const { events, errors } = await runFunction(orders, [parcel, payment, payment, parcel], {
    databaseUrl: db.url,
  });
  assert.deepEqual(errors, []);
  assert.deepEqual(events, [{ type: 'order.shipped', subject: '4711', data: { order: '4711' } }]);
  assert.deepEqual(await db.query('select order_id, weight from orders.shipment'), [
    { order_id: '4711', weight: 300 },
  ]);
});

void test('an order whose payment is not captured waits', async () => {
  const authorized = { ...payment, row: { ...payment.row, status: 'authorized' } };
  const { sets, events } = await runFunction(orders, [parcel, authorized]);
  assert.deepEqual(sets, [{ key: { order_id: '4711' }, status: 'waiting', missing: ['paid'] }]);
  assert.deepEqual(events, []);
});
