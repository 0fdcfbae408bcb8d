import { expect, test } from 'vitest';
import { DefinitionError } from '../../src/definitions/fields.ts';
import type { FunctionDefinition, Rule } from '../../src/function.ts';
import { all, any, atLeast } from '../../src/function.ts';
import { compile, hashOf, specify } from '../../src/definitions/specification.ts';

const part = { table: 'public.item', key: 'k' };
const fine: FunctionDefinition = { name: 'fine', parts: { a: part, b: part }, handle() {} };

function refusalOf(definition: FunctionDefinition): string[] {
  try {
    specify(definition);
    return [];
  } catch (error) {
    return (error as Error).message.split('\n  ');
  }
}

/** A definition that does not type-check, but that plain JavaScript or JSON may contain. */
const wrong = (more: object): FunctionDefinition => ({ ...fine, ...more });
const parts = (n: number) =>
  Object.fromEntries(Array.from({ length: n }, (_, i) => [`p${i}`, part]));
const hash = (more: object) => hashOf(specify({ ...fine, ...more }));
const endless = { atLeast: 1, of: ['a'] as unknown[] };
endless.of.push(endless);
const nested = (depth: number): Rule => (depth === 0 ? all('a') : all('a', nested(depth - 1)));

const NAME =
  'must be at most 63 lower-case letters, digits and dashes, a letter first and no dash last, and no value of YAML such as on';
const COUNT = 'must be a whole number from 1 to 2,147,483,647';
const UNITS =
  "write a number and a unit, as in '15 minutes' (milliseconds, seconds, minutes, hours or days)";
const onlyPart = (more: object) => wrong({ parts: { a: { ...part, ...more } } });

const table: [definition: FunctionDefinition, ...problems: string[]][] = [
  [wrong({ name: 'Fine' }), `name ${NAME}, not 'Fine'`],
  [wrong({ name: '' }), `name ${NAME}, not ''`],
  [wrong({ name: 'a/b' }), `name ${NAME}, not 'a/b'`],
  [wrong({ name: 'a-' }), `name ${NAME}, not 'a-'`],
  [wrong({ name: 'on' }), `name ${NAME}, not 'on'`],
  [wrong({ handle: 'later' }), "handle must be a function, not 'later'"],
  [
    wrong({ overdueafter: '1 minute' }),
    "there is no property 'overdueafter'; did you mean 'overdueAfter'?",
  ],
  [wrong({ parts: undefined }), 'parts is missing', 'parts: there must be at least one'],
  [wrong({ parts: {} }), 'parts: there must be at least one'],
  [
    wrong({ parts: [part] }),
    `parts: must be an object, not [ { table: 'public.item', key: 'k' } ]`,
  ],
  [wrong({ parts: parts(17) }), 'parts: at most 16, not 17'],
  [onlyPart({ table: 'item' }), "part a: table must be schema.table, not 'item'"],
  [
    onlyPart({ table: 'db.public.item' }),
    "part a: table must be schema.table, not 'db.public.item'",
  ],
  [onlyPart({ table: undefined }), 'part a: table is missing'],
  [onlyPart({ key: [] }), 'part a: key must name a column'],
  [onlyPart({ key: '' }), "part a: key must be the name of a column, or several, not ''"],
  [onlyPart({ key: ['x', 'x'] }), "part a: key names 'x' twice"],
  [
    onlyPart({ key: '__proto__' }),
    "part a: key must be the name of a column, or several, not '__proto__'",
  ],
  [onlyPart({ id: [] }), 'part a: id must name a column'],
  [
    onlyPart({ columns: 'note' }),
    "part a: columns must be an array of names of columns, not 'note'",
  ],
  [
    onlyPart({ columns: ['note'], base64: ['noet'] }),
    "part a: base64 names 'noet', which the part does not keep; did you mean 'note'?",
  ],
  [onlyPart({ count: 0 }), `part a: count ${COUNT}, not 0`],
  [onlyPart({ count: 1.5 }), `part a: count ${COUNT}, not 1.5`],
  [onlyPart({ count: 2 ** 31 }), `part a: count ${COUNT}, not 2147483648`],
  [
    onlyPart({ cuont: 2, colums: ['carrier'], wehre: { state: 'captured' }, whatever: 1 }),
    "part a: there is no property 'cuont'; did you mean 'count'?",
    "part a: there is no property 'colums'; did you mean 'columns'?",
    "part a: there is no property 'wehre'; did you mean 'where'?",
    "part a: there is no property 'whatever'; there are table, key, where, id, columns, base64, count",
  ],
  [onlyPart({ where: 'kind' }), "part a: where must be an object, not 'kind'"],
  [
    onlyPart({ where: { a: NaN, b: {}, c: 2 ** 53, d: '\0', e: undefined } }),
    `part a: where a must be text, a finite number, true, false or null, not NaN, and b must be text, a finite number, true, false or null, not {}, and c is beyond 2^53, where numbers are rounded: write it as text, and d must be text, a finite number, true, false or null, not '\\x00', and e must be text, a finite number, true, false or null, not undefined`,
  ],
  [
    // an own property only in JSON; in a literal it sets the prototype
    wrong({ parts: JSON.parse('{"__proto__": {"table": "public.item", "key": "k"}}') }),
    "parts: '__proto__' can't be the name of a part",
  ],
  [
    wrong({ parts: { a: part, __proto__: { b: part } } }),
    'parts: must be a plain object, without __proto__',
  ],
  [
    wrong({ parts: { a: part, b: { ...part, key: ['k', 'l'] } } }),
    'parts: all keys must have the same number of columns, or rows of different parts never match',
  ],
  [wrong({ complete: all('a', 'c') }), "complete: there is no part 'c'"],
  [wrong({ complete: all('a', 'a') }), 'complete: a rule may name a part only once (a, a)'],
  [wrong({ complete: atLeast(3, 'a', 'b') }), 'complete: at least 3 of 2 is impossible'],
  [wrong({ complete: atLeast(0, 'a', 'b') }), `complete: atLeast ${COUNT}, not 0`],
  [wrong({ complete: any() }), 'complete: of must be a list of parts and rules, not []'],
  [wrong({ complete: any('a', all('none')) }), "complete: there is no part 'none'"],
  [wrong({ complete: 'a' }), "complete: must be an object, not 'a'"],
  [wrong({ complete: nested(46) }), 'complete: at most 46 rules'],
  [wrong({ complete: endless }), 'complete: at most 46 rules'],
  [wrong({ concurrency: 0 }), `concurrency ${COUNT}, not 0`],
  [wrong({ concurrency: 2.5 }), `concurrency ${COUNT}, not 2.5`],
  [wrong({ handle: undefined }), 'handle is missing: write handle, or handleAll with batch'],
  [
    wrong({ handleAll() {}, batch: { size: 2 } }),
    'handle and handleAll: a function has only one of them',
  ],
  [wrong({ batch: { size: 2 } }), 'batch: only handleAll uses it'],
  [
    wrong({ handle: undefined, handleAll() {}, concurrency: 2 }),
    "batch is missing: handleAll needs one, such as { size: 100, wait: '50 milliseconds' }",
    'concurrency: it limits runs, of which handleAll gets many in one call; limit the calls of a process with CONCURRENCY',
  ],
  [
    wrong({ handle: undefined, handleAll() {}, batch: { size: 1_001, wait: '25 days', sizes: 2 } }),
    "batch: there is no property 'sizes'; did you mean 'size'?",
    'batch: size must be a whole number from 1 to 1,000, not 1001',
    "batch: wait must be at most 1 minute, not '25 days'",
  ],
  [
    wrong({ retry: { attempts: 0, atempts: 3 } }),
    "retry: there is no property 'atempts'; did you mean 'attempts'?",
    `retry: attempts ${COUNT}, not 0`,
  ],
  [wrong({ history: 'never' }), "history must be 'skip' or 'run', not 'never'"],
  [
    wrong({ overdueAfter: '15 mins' }),
    `overdueAfter must be a duration: '15 mins' is not a duration: ${UNITS}`,
  ],
  [wrong({ overdueAfter: 15 }), "overdueAfter must be a duration such as '15 minutes', not 15"],
  [
    wrong({ overdueAfter: '0 minutes' }),
    "overdueAfter must be above zero and at most 365,000 days, not '0 minutes'",
  ],
  [
    wrong({ overdueAfter: '365001 days', keepFor: '1000000000 days' }),
    "overdueAfter must be above zero and at most 365,000 days, not '365001 days'",
    "keepFor must be at most 365,000 days, not '1000000000 days'",
  ],
  [
    wrong({ timeout: '0 seconds' }),
    "timeout must be above zero and at most 24 days, not '0 seconds'",
  ],
  [wrong({ timeout: '25 days' }), "timeout must be above zero and at most 24 days, not '25 days'"],
  [
    wrong({ name: 'X', timeout: 'soon', keepFor: '-1 days' as '1 day', complete: any('none') }),
    `name ${NAME}, not 'X'`,
    `timeout must be a duration: 'soon' is not a duration: ${UNITS}`,
    `keepFor must be a duration: '-1 days' is not a duration: ${UNITS}`,
    "complete: there is no part 'none'",
  ],
];

for (const [definition, ...problems] of table) {
  test(`an invalid definition is rejected with all of its problems: ${problems.map((each) => each.slice(0, 60)).join('; ')}`, () => {
    expect(() => specify(definition)).toThrow(DefinitionError);
    expect(refusalOf(definition)).toEqual([`function ${definition.name}:`, ...problems]);
  });
}

test('specify fills in defaults', () => {
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

test('the hash covers the properties that determine sets, but not those of handling', () => {
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

test('a rule compiles to gates, inner rules first; a gate reads parts and earlier gates', () => {
  const specification = specify({
    ...fine,
    parts: { a: part, b: { ...part, count: 3 }, c: part },
    complete: all('a', any('b', atLeast(2, 'a', 'b', 'c'))),
  });
  const partIndexes = new Map([
    ['a', 1],
    ['b', 3],
    ['c', 16],
  ]);
  const need = Array.from({ length: 16 }, () => 0);
  need[0] = 1;
  need[2] = 3;
  need[15] = 1;
  expect(compile(specification, partIndexes)).toEqual({
    need,
    gateNeed: [2, 1, 2],
    gateOf: [0b1n | (1n << 2n) | (1n << 15n), (1n << 2n) | (1n << 16n), 0b1n | (1n << 17n)],
  });
});
