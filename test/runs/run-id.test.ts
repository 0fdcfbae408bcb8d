import fc from 'fast-check';
import { expect } from 'vitest';
import { headerSafe, runIdOf } from '../../src/runs/run-id.ts';
import { test } from '../support/test.ts';

const idOf = (key: string) => runIdOf('pair', { key, revision: 2 });

test('an id contains the key, and escapes characters that are not valid in a header', () => {
  expect(idOf('0193b000-0000-7000-8000')).toBe('pair/0193b000-0000-7000-8000/2');
  expect(idOf('["r","[0,60)"]')).toBe('pair/["r","[0,60)"]/2');
  expect(idOf('Łódź 50%~')).toBe('pair/~C5~81~C3~B3d~C5~BA 50%~7E/2');
  expect(idOf('')).toBe('pair//2');
});

test('the database escapes keys as the process does, and different keys differ', async ({ db }) => {
  const keys = fc.sample(fc.string({ unit: 'binary', maxLength: 20 }), { numRuns: 500 });
  keys.push(
    '',
    'Łódź',
    '渋谷',
    'two\nlines',
    'a~b',
    '~7E',
    '%7E',
    '"',
    ' ',
    '🚋',
    '}',
    '~',
    '!',
    '\u007f',
  );
  const given = [...new Set(keys.map((key) => key.replaceAll('\0', '')))];
  const rows = await db.query<{ id: string }>(
    'select muster.header_safe(key) as id from unnest($1::text[]) with ordinality as t (key, nth) order by nth',
    [given],
  );
  const ids = rows.map(({ id }) => id);
  expect(ids).toEqual(given.map(headerSafe));
  expect(new Set(ids).size).toBe(given.length);
  for (const id of ids) expect(id).toMatch(/^[ -~]*$/);
});
