import { expect, test } from 'vitest';
import type { FunctionDefinition, Rule } from '../../src/function.ts';
import { all, any, atLeast } from '../../src/function.ts';
import { compile, hashOf, specify } from '../../src/state/definition.ts';

const part = { table: 'public.item', key: 'k' };
const fine: FunctionDefinition = { name: 'fine', parts: { a: part, b: part }, handle() {} };

/** Not what the types allow: plain JavaScript, or JSON, may bring it. */
const wrong = (more: object): FunctionDefinition => ({ ...fine, ...more });
const parts = (n: number) =>
  Object.fromEntries(Array.from({ length: n }, (_, i) => [`p${i}`, part]));
const hash = (more: object) => hashOf(specify({ ...fine, ...more }));
const nested = (depth: number): Rule => (depth === 0 ? all('a') : all('a', nested(depth - 1)));

const table: [definition: FunctionDefinition, ...problems: string[]][] = [
  [wrong({ name: 'Fine' }), "name 'Fine' must be lower-case letters, digits and dashes"],
  [wrong({ name: '' }), "name '' must be lower-case letters, digits and dashes"],
  [wrong({ name: 'a/b' }), "name 'a/b' must be lower-case letters, digits and dashes"],
  [wrong({ parts: {} }), 'parts: at least one is needed', "complete: at least 0 of 0 can't be"],
  [wrong({ parts: parts(17) }), 'parts: at most 16, not 17'],
  [
    wrong({ parts: { a: { ...part, table: 'item' } } }),
    "part a: table 'item' must be schema.table",
  ],
  [
    wrong({ parts: { a: { ...part, table: 'db.public.item' } } }),
    "part a: table 'db.public.item' must be schema.table",
  ],
  [wrong({ parts: { a: { ...part, key: [] } } }), 'part a: key needs a column'],
  [wrong({ parts: { a: { ...part, id: [] } } }), 'part a: id needs a column'],
  [wrong({ parts: { a: { ...part, count: 0 } } }), 'part a: count must be 1 or more'],
  [wrong({ parts: { a: { ...part, count: 1.5 } } }), 'part a: count must be 1 or more'],
  [
    wrong({ parts: { a: part, b: { ...part, key: ['k', 'l'] } } }),
    'parts: all keys must have as many columns, or no two rows ever meet',
  ],
  [wrong({ complete: all('a', 'c') }), "complete: there is no part 'c'"],
  [wrong({ complete: all('a', 'a') }), 'complete: a part counts once in a rule (a, a)'],
  [wrong({ complete: atLeast(3, 'a', 'b') }), "complete: at least 3 of 2 can't be"],
  [wrong({ complete: atLeast(0, 'a', 'b') }), "complete: at least 0 of 2 can't be"],
  [wrong({ complete: any() }), "complete: at least 1 of 0 can't be"],
  [wrong({ complete: any('a', all('c')) }), "complete: there is no part 'c'"],
  [wrong({ complete: nested(46) }), 'complete: at most 46 rules, not 47'],
  [wrong({ concurrency: 0 }), 'concurrency must be 1 or more'],
  [wrong({ concurrency: 2.5 }), 'concurrency must be 1 or more'],
  [wrong({ retry: { attempts: 0 } }), 'retry.attempts must be 1 or more'],
  [wrong({ history: 'never' }), "history must be 'skip' or 'run'"],
  [
    wrong({ overdueAfter: '15 mins' }),
    "overdueAfter: '15 mins' is no duration: write a number and a unit, as in '15 minutes' (milliseconds, seconds, minutes, hours or days)",
  ],
  [wrong({ timeout: '0 seconds' }), 'timeout: must be longer than nothing and at most 24 days'],
  [wrong({ timeout: '25 days' }), 'timeout: must be longer than nothing and at most 24 days'],
  [
    wrong({ name: 'X', timeout: 'soon', keepFor: '-1 days' as '1 day', complete: any('z') }),
    "name 'X' must be lower-case letters, digits and dashes",
    "complete: there is no part 'z'",
    "timeout: 'soon' is no duration: write a number and a unit, as in '15 minutes' (milliseconds, seconds, minutes, hours or days)",
    "keepFor: '-1 days' is no duration: write a number and a unit, as in '15 minutes' (milliseconds, seconds, minutes, hours or days)",
  ],
];

for (const [definition, ...problems] of table) {
  test(`a definition is refused with every problem it has: ${problems.map((each) => each.slice(0, 60)).join('; ')}`, () => {
    expect(() => specify(definition)).toThrow(
      new Error(`function ${definition.name}:\n  ${problems.join('\n  ')}`),
    );
  });
}

test('defaults are written out', () => {
  expect(
    specify({
      ...fine,
      parts: {
        a: {
          table: 'public.item',
          key: ['k', 'l'],
          where: { kind: 'a', n: 1 },
          columns: ['k', 'note'],
        },
      },
      overdueAfter: '1.5 hours',
    }),
  ).toEqual({
    name: 'fine',
    parts: [
      {
        name: 'a',
        table: 'public.item',
        key: ['k', 'l'],
        where: { kind: 'a', n: 1 },
        id: ['id'],
        columns: ['id', 'k', 'l', 'kind', 'n', 'note'],
        keepsMore: true,
        base64: [],
        count: 1,
      },
    ],
    rule: { atLeast: 1, of: ['a'] },
    history: 'skip',
    overdueMs: 5_400_000,
    concurrency: null,
  });
});

test('what decides sets makes another definition; how they are handled does not', () => {
  const same = hash({});
  const others: [boolean, object][] = [
    [true, { handle: () => [{ type: 't' }] }],
    [
      true,
      { timeout: '1 hour', retry: { attempts: 2 }, keepFor: '1 hour', forgetAfter: '2 hours' },
    ],
    [true, { complete: all('a', 'b') }],
    [false, { complete: any('a', 'b') }],
    [false, { overdueAfter: '1 hour' }],
    [false, { concurrency: 3 }],
    [false, { history: 'run' }],
    [false, { parts: { a: part, b: { ...part, count: 2 } } }],
    [false, { parts: { a: part, c: part } }],
  ];
  expect(others.map(([, more]) => hash(more) === same)).toEqual(others.map(([equal]) => equal));
});

test('a rule compiles to gates, inner rules first; a gate reads lanes and earlier gates', () => {
  const specification = specify({
    ...fine,
    parts: { a: part, b: { ...part, count: 3 }, c: part },
    complete: all('a', any('b', atLeast(2, 'a', 'b', 'c'))),
  });
  const lanes = new Map([
    ['a', 1],
    ['b', 3],
    ['c', 16],
  ]);
  const need = Array.from({ length: 16 }, () => 0);
  need[0] = 1;
  need[2] = 3;
  need[15] = 1;
  expect(compile(specification, lanes)).toEqual({
    need,
    gateNeed: [2, 1, 2],
    gateOf: [0b1n | (1n << 2n) | (1n << 15n), (1n << 2n) | (1n << 16n), 0b1n | (1n << 17n)],
  });
});
