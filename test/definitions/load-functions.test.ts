import { expect, test } from 'vitest';
import { checkConsole } from '../../src/console/consoles.ts';
import { checkDefinition, loadFunctions } from '../../src/definitions/load-functions.ts';

const part = { table: 'public.item', key: 'k' };
const pair = { name: 'pair', parts: { a: part }, handle() {} };
const numbers = { name: 'numbers', topic: 'numbers', read() {}, async apply() {} };
const page = { title: 'A page', description: 'What it shows.', routes() {} };

function problems(check: () => unknown): string[] {
  try {
    check();
    return [];
  } catch (error) {
    return (error as Error).message.split('\n  ');
  }
}

test.for([
  [pair, []],
  [undefined, ['there is no default export made by defineFunction or defineProjection']],
  [null, ['there is no default export made by defineFunction or defineProjection']],
  [
    { ...pair, name: 'other' },
    ["name is 'other', but the file's name is 'pair': they must be equal"],
  ],
  [
    { name: 'pair', part: { a: part }, hanlde() {} },
    [
      "there is no property 'part'; did you mean 'parts'?",
      "there is no property 'hanlde'; did you mean 'handle'?",
      'parts is missing',
      'handle is missing: write handle, or handleAll with batch',
      'parts: there must be at least one',
    ],
  ],
  [
    { ...pair, complete: { atLeast: 1, of: ['b'] }, retry: { atempts: 3 } },
    [
      "retry: there is no property 'atempts'; did you mean 'attempts'?",
      "complete: there is no part 'b'",
    ],
  ],
] as const)('every problem of a file that exports %o is reported', ([definition, expected]) => {
  expect(problems(() => checkDefinition('pair', 'pair.ts', definition))).toEqual(
    expected.length > 0 ? ['functions/pair.ts:', ...expected] : [],
  );
});

test.for([
  [numbers, []],
  [
    {
      ...numbers,
      topic: 'a topic',
      apply: undefined,
      aply() {},
      chunkRecords: 0,
      settleEvery: '0 seconds',
    },
    [
      "there is no property 'aply'; did you mean 'apply'?",
      "topic must be the name of a topic (at most 249 letters, digits, dots, dashes and underscores), not 'a topic'",
      'chunkRecords must be a whole number from 1 to 2,147,483,647, not 0',
      'apply is missing',
      "settleEvery must be above zero and at most 24 days, not '0 seconds'",
    ],
  ],
] as const)('every problem of the projection %o is reported', ([definition, expected]) => {
  expect(problems(() => checkDefinition('numbers', 'numbers.ts', definition))).toEqual(
    expected.length > 0 ? ['functions/numbers.ts:', ...expected] : [],
  );
});

test.for([
  [page, []],
  [undefined, ['there is no default export made by defineConsole']],
  [
    { title: '', descripton: 'What it shows.', routes: [] },
    [
      "there is no property 'descripton'; did you mean 'description'?",
      "title must be text that is not empty, not ''",
      'description is missing',
      'routes must be a function, not []',
    ],
  ],
] as const)('every problem of the console %o is reported', ([definition, expected]) => {
  expect(problems(() => checkConsole('plugin.ts', definition))).toEqual(
    expected.length > 0 ? ['plugin.ts:', ...expected] : [],
  );
});

test('one error lists every function that cannot be loaded, with suggestions', async () => {
  await expect(loadFunctions(['recordigns', 'travelers', 'weather'])).rejects.toThrow(
    `functions/:
  there is no recordigns.ts and no recordigns/index.ts; did you mean 'recordings'?
functions/:
  there is no weather.ts and no weather/index.ts`,
  );
});
