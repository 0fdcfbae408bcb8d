import { expect, test } from 'vitest';
import { exampleRow } from '../../src/definitions/example-row.ts';
import { specify } from '../../src/definitions/specification.ts';
import { isTablePart } from '../../src/definitions/streams.ts';
import { defineFunction } from '../../src/function.ts';

test('an example fills its part, and has the columns that other parts on its table need', () => {
  const parts = specify(
    defineFunction({
      name: 'shop',
      parts: {
        paid: { table: 'shop.order', id: 'no', key: 'customer', where: { paid: true } },
        note: { table: 'shop.order', key: 'region', columns: ['text', 'raw'], base64: ['raw'] },
        other: { table: 'shop.parcel', key: 'customer', columns: ['weight'] },
      },
      handle() {},
    }),
  ).parts.filter(isTablePart);
  expect(exampleRow(parts[0]!, parts, { id: 7, key: 'k' })).toEqual({
    no: 7,
    customer: 'k',
    paid: true,
    id: 1,
    region: 1,
    text: 1,
    raw: 'MQ==',
  });
});
