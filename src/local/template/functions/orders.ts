import { all, defineFunction } from 'musterjs';

/** An order ships once it is paid and packed. */
export default defineFunction({
  name: 'orders',
  parts: {
    paid: { table: 'shop.payment', key: 'order_id', where: { status: 'captured' } },
    packed: { table: 'shop.parcel', key: 'order_id', columns: ['weight'] },
  },
  complete: all('paid', 'packed'),
  overdueAfter: '1 day',

  async handle(set, { tx }) {
    const { order_id: order } = set.key;
    const weight = set.parts.packed[0]?.row['weight'];
    // committed together with the end of the run: once for each order, whatever is delivered again or crashes
    await tx.query('insert into orders.shipment (order_id, weight) values ($1, $2)', [
      order,
      weight,
    ]);
    return [{ type: 'order.shipped', data: { order } }];
  },
});
