import { expect, test } from 'vitest';
import { UNAVAILABLE, type Row } from '../../../src/state/change.ts';
import { specify } from '../../../src/definitions/specification.ts';
import { toMemberRows, type MemberRow } from '../../../src/state/ingest/member.ts';
import { type RegisteredFunction } from '../../../src/definitions/registered-function.ts';
import { change } from '../../support/changes.ts';

const item = { table: 'public.item', key: 'k', base64: ['k'] };
const served: RegisteredFunction = {
  id: 1,
  generation: 1,
  registration: '00000000-0000-0000-0000-000000000000',
  specification: specify({
    name: 'f',
    parts: {
      a: { ...item, where: { state: 's', kind: 'a' } },
      b: { ...item, where: { state: 's', kind: 'b' } },
      c: { ...item, where: { state: 't', kind: 'c' } },
    },
    handle() {},
  }),
  partIndexOf: new Map([
    ['a', 1],
    ['b', 2],
    ['c', 3],
  ]),
};
const PLACE = { source: 1, epoch: 0 };
const x = Buffer.from('x').toString('base64');

/** Maps a change of a row to the parts. */
function mapped(op: 'c' | 'u' | 'd', row: Row): readonly MemberRow[] {
  return toMemberRows(change(op, 1, { id: 1, k: x, ...row }), PLACE, served).rows;
}

/** Part index, whether the row is in the set, and the key. */
const places = (rows: readonly MemberRow[]) =>
  rows.map((row) => [row.partIndex, row.inSet, row.key]);

test('columns that follow from key, id and filters are not stored, nor are others of the row', () => {
  expect(mapped('c', { kind: 'b', state: 's', payload: 'p' })).toMatchObject([
    { partIndex: 2, inSet: true, key: 'x', columns: null, literals: 1, missingColumns: null },
  ]);
});

test('a column that was not sent is stored as missing', () => {
  const columns = '{"id":1,"k":null,"kind":"b"}';
  expect(mapped('u', { kind: 'b', k: null, state: UNAVAILABLE })[1]).toMatchObject({
    partIndex: 2,
    inSet: false,
    key: null,
    columns,
    missingColumns: '{"state":[null,null,null,true]}',
  });
});

test('a create adds no row to a part that rejects it, even if columns are missing', () => {
  expect(mapped('c', { kind: 'a', k: null, state: UNAVAILABLE })).toMatchObject([{ partIndex: 1 }]);
  expect(() => mapped('c', { kind: 'b', state: UNAVAILABLE })).toThrow('state');
});

test('a create that every part rejects is stored for the part whose filters it matches best', () => {
  expect(mapped('c', { kind: 'b', state: 't' })).toMatchObject([
    { partIndex: 2, inSet: false, key: 'x' },
  ]);
  expect(mapped('c', { kind: 'd', state: 't' })).toMatchObject([
    { partIndex: 3, inSet: false, key: 'x' },
  ]);
});

test('an update adds a row to every part, a delete removes it from every part', () => {
  expect(places(mapped('u', { kind: 'b', state: 's' }))).toEqual([
    [1, false, 'x'],
    [2, true, 'x'],
    [3, false, 'x'],
  ]);
  expect(places(mapped('d', {}))).toEqual([
    [1, false, null],
    [2, false, null],
    [3, false, null],
  ]);
});
