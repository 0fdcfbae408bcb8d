import { expect, test } from 'vitest';
import fc from 'fast-check';
import type { PartSpecification } from '../../src/definitions/part-specification.ts';
import { parseExact } from '../../src/lib/exact-integers.ts';
import { deriveColumns, literalsOf } from '../../src/state/derived-columns.ts';

const part: PartSpecification = {
  name: 'a',
  table: 'public.item',
  key: ['k', 'span'],
  where: { kind: 'a', level: 1 },
  id: ['id', 'k'],
  columns: ['id', 'k', 'span', 'kind', 'level'],
  keepsMore: false,
  base64: [],
  count: 1,
};

const big = JSON.rawJSON('9007199254740993');
const textOf = (value: unknown) =>
  typeof value === 'string' ? value : JSON.isRawJSON(value) ? value.rawJSON : String(value);

/** As member.ts makes key and id from the row. */
function restored(row: Record<string, unknown>, of = part) {
  const join = (columns: readonly string[]) =>
    columns.length === 1
      ? textOf(row[columns[0]!])
      : JSON.stringify(columns.map((column) => textOf(row[column])));
  const literals = literalsOf(row, of, join(of.key), join(of.id));
  return literals === null ? null : deriveColumns(of, join(of.key), join(of.id), literals, BigInt);
}

test('whatever scalars a row has, its columns are restored exactly, or stored', () => {
  const scalar = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constantFrom('1', 'true', '', '[]', '"x"', '9007199254740993', big),
  );
  const kind = fc.constantFrom('a', 'b', 1);
  const level = fc.constantFrom(1, '1', true, 1.5);
  fc.assert(
    fc.property(fc.record({ id: scalar, k: scalar, span: scalar, kind, level }), (row) => {
      const columns = restored(row);
      const isDerivable = row.kind === 'a' && row.level === 1;
      expect(columns).toEqual(isDerivable ? parseExact(JSON.stringify(row), BigInt) : null);
    }),
  );
});

test('a part that stores further columns, or more than fit into the mask, stores all of them', () => {
  const row = { id: 1, k: 'x', span: 's', kind: 'a', level: 1, note: 'n' };
  expect(restored(row)).toEqual({ id: 1, k: 'x', span: 's', kind: 'a', level: 1 });
  expect(restored(row, { ...part, columns: [...part.columns, 'note'] })).toBeNull();
  const id = Array.from({ length: 16 }, (_, i) => `id${i}`);
  const wide = Object.fromEntries(id.map((column) => [column, 1]));
  expect(restored(wide, { ...part, key: ['id0'], where: {}, id, columns: id })).toBeNull();
});
