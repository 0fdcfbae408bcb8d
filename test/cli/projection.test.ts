import { expect } from 'vitest';
import { chunkOf, feedOn } from '../support/feed.ts';
import { numbers } from '../support/numbers.ts';
import { test } from '../support/numbers-test.ts';
import type { TestDatabase } from '../support/test.ts';
import { muster } from './command.ts';

const run = (db: TestDatabase, ...args: string[]) => muster({ DATABASE_URL: db.url }, args);

test('a projection has positions instead of sets, and commands for sets report that', async ({
  db,
}) => {
  const feed = await feedOn(db, numbers(), 2);
  await feed.give(0, [{ n: 1 }, { n: 2 }]);
  await feed.positions.lose(1, 0, 5);
  const { stdout } = await run(db, 'positions', 'numbers', '--json');
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  expect(lines).toMatchObject([
    { function: 'numbers', partition: 0, next: '2', end: '2', waiting: '0', lost: '0' },
    { function: 'numbers', partition: 1, next: '5', end: '5', waiting: '0', lost: '5' },
  ]);
  for (const args of [
    ['sets', 'numbers'],
    ['explain', 'numbers', 'k'],
    ['retry', 'numbers', '--all'],
  ]) {
    expect(await run(db, ...args)).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'muster: numbers is a projection of the topic numbers and has no sets; see its progress with: muster positions numbers\n',
    });
  }
});

test('seek moves the position only of a partition that has been read', async ({ db }) => {
  const feed = await feedOn(db, numbers());
  await feed.give(0, [{ n: 1 }, { n: 2 }]);
  await feed.positions.rest(0, 'was the topic recreated?');
  expect((await run(db, 'positions')).stdout).toContain('stopped: was the topic recreated?');
  // a worker in the middle of a chunk may not continue either
  expect(await feed.apply(chunkOf(2, [{ n: 3 }]))).toEqual({ kind: 'moved', next: 2 });
  expect(await run(db, 'seek', 'numbers', '0', '1')).toEqual({
    code: 0,
    stdout: 'numbers resumes partition 0 of numbers at 1, was at 2\n',
    stderr: '',
  });
  expect(await feed.apply(chunkOf(1, [{ n: 2 }]))).toEqual({ kind: 'applied', parked: [] });
  expect(await run(db, 'seek', 'numbers', '7', '0')).toMatchObject({
    code: 1,
    stderr: 'muster: partition 7 of numbers has not been read yet\n',
  });
  expect(await run(db, 'seek', 'numbers', 'a', '0')).toMatchObject({
    code: 2,
    stderr: "muster: partition must be a whole number, not 'a'\n",
  });
});

test('redeliver does not post a parked record, but reports what to do instead', async ({ db }) => {
  const feed = await feedOn(db, numbers());
  await feed.give(0, [{ n: 'one' }]);
  expect(await run(db, 'redeliver')).toEqual({
    code: 1,
    stdout:
      '1\tis a record of the projection numbers: write it to the topic again once the projection can read it\n0 redelivered, 1 left\n',
    stderr: 'muster: 1 event could not be ingested yet\n',
  });
});
