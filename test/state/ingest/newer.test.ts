import fc from 'fast-check';
import { expect } from 'vitest';
import { isNewer, LSN_BITS, type Versioned } from '../../../src/state/version.ts';
import { test } from '../../support/test.ts';

type Version = Versioned;

const T = 1_800_000_000_000;
/** A streamed change, `seconds` after T. */
const stream = (lsn: number, seconds = 0, epoch = 0, commits: number | null = null): Version => ({
  version: position(lsn, epoch),
  at: T + seconds * 1000,
  commits: commits === null ? null : position(commits, epoch),
});
/** A read of a snapshot, at a position of the stream; 0 if that is unknown. */
const read = (seconds: number, lsn = 0, epoch = 0): Version => ({
  version: -position(lsn, epoch),
  at: T + seconds * 1000,
  commits: null,
});
function position(lsn: number, epoch: number): bigint {
  return (BigInt(epoch) << LSN_BITS) | BigInt(lsn);
}

const table: [name: string, a: Version, b: Version, newer: 'a' | 'b' | 'neither'][] = [
  ['of two streamed changes, the later position', stream(11), stream(10), 'a'],
  [
    'of two streamed changes, the later position, whatever their times',
    stream(11, 0),
    stream(10, 500),
    'a',
  ],
  ['a change delivered twice', stream(10), stream(10), 'neither'],
  ['of two reads, the later one', read(2), read(1), 'a'],
  ['two reads of one millisecond', read(1), read(1), 'neither'],
  ['a read of the same moment loses to the change', read(0), stream(10), 'b'],
  ['a read 60 s after a change still loses', read(60), stream(10), 'b'],
  ['a read more than 60 s after a change wins', read(60.001), stream(10), 'a'],
  ['a read before a change loses', read(-1), stream(10), 'b'],
  ['a change of a later epoch, whatever its position', stream(1, 0, 1), stream(2 ** 50), 'a'],
  [
    'the first epoch, even with the longest log',
    stream(1, 0, 1),
    { version: (1n << LSN_BITS) - 1n, at: T, commits: null },
    'a',
  ],
  ['a read loses to a change above its position, whatever its time', read(500, 9), stream(10), 'b'],
  ['a read at the position of a change wins by its time', read(61, 10), stream(10), 'a'],
  ['a read above the position of a change needs a later time, too', read(60, 99), stream(10), 'b'],
  [
    'a read loses to a change committed after it, however low its position',
    read(500, 20),
    stream(10, 0, 0, 21),
    'b',
  ],
  [
    'a read wins over a long transaction that ended before it',
    read(500, 21),
    stream(10, 0, 0, 21),
    'a',
  ],
  [
    'of two reads, the one at the later position, whatever their times',
    read(1, 20),
    read(2, 10),
    'a',
  ],
  ['of two reads at one position, the later one', read(2, 10), read(1, 10), 'a'],
  ['of two reads, the later one if a position is unknown', read(2), read(1, 10), 'a'],
  ['a read of a later epoch, though its clock is behind', read(0, 1, 1), stream(2 ** 50, 500), 'a'],
  ['a read of a later epoch whose position is unknown', read(0, 0, 1), stream(2 ** 50, 500), 'a'],
  ['a change of a later epoch than a read', stream(1, 0, 1), read(500, 2 ** 50), 'a'],
];

async function inSql(
  db: { query<R extends object>(text: string, values: unknown[]): Promise<R[]> },
  pairs: readonly (readonly [Version, Version])[],
): Promise<boolean[]> {
  const rows = await db.query<{ newer: boolean }>(
    `select muster.newer(av, aat, ac, bv, bat, bc) as newer
     from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
          with ordinality as p (av, aat, ac, bv, bat, bc, n) order by n`,
    ([0, 1] as const).flatMap((i) => [
      pairs.map((pair) => pair[i].version),
      pairs.map((pair) => pair[i].at),
      pairs.map((pair) => pair[i].commits),
    ]),
  );
  return rows.map((row) => row.newer);
}

test('which of two versions of a row is newer', async ({ db }) => {
  const verdicts = await inSql(
    db,
    table.flatMap(([, a, b]) => [[a, b] as const, [b, a] as const]),
  );
  expect(
    table.map(([name], i) => [
      name,
      verdicts[2 * i] ? 'a' : verdicts[2 * i + 1] ? 'b' : 'neither',
      verdicts[2 * i] && verdicts[2 * i + 1],
    ]),
  ).toEqual(table.map(([name, , , newer]) => [name, newer, false]));
});

test('the batcher and Postgres agree on which version is newer', async ({ db }) => {
  const seconds = fc.constantFrom(0, 0.001, 59.999, 60, 60.001, 120);
  const lsn = fc.integer({ min: 1, max: 5 });
  const epoch = fc.integer({ min: 0, max: 2 });
  const version = fc.oneof(
    fc.tuple(lsn, seconds, epoch, fc.option(lsn)).map((each) => stream(...each)),
    fc.tuple(seconds, fc.integer({ min: 0, max: 5 }), epoch).map((each) => read(...each)),
  );
  const pairs = fc.sample(fc.tuple(version, version), 2000);
  expect(await inSql(db, pairs)).toEqual(pairs.map(([a, b]) => isNewer(a, b)));
});
