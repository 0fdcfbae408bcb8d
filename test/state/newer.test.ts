import fc from 'fast-check';
import { expect } from 'vitest';
import { isNewer, LSN_BITS, type MemberRow } from '../../src/state/member.ts';
import { test } from '../support/test.ts';

interface Version {
  readonly version: bigint;
  readonly at: number;
}

const T = 1_800_000_000_000;
/** A streamed change, so many seconds after T. */
const stream = (lsn: number, seconds = 0, epoch = 0): Version => ({
  version: (BigInt(epoch) << LSN_BITS) | BigInt(lsn),
  at: T + seconds * 1000,
});
/** A snapshot's read. */
const read = (seconds: number): Version => ({ version: 0n, at: T + seconds * 1000 });

const table: [name: string, a: Version, b: Version, newer: 'a' | 'b' | 'neither'][] = [
  ['of two streamed changes, the later position', stream(11), stream(10), 'a'],
  ['whatever their times say', stream(11, 0), stream(10, 500), 'a'],
  ['a change delivered twice', stream(10), stream(10), 'neither'],
  ['of two reads, the later one', read(2), read(1), 'a'],
  ['two reads of one millisecond', read(1), read(1), 'neither'],
  ['a read of the same moment loses to the change', read(0), stream(10), 'b'],
  ['a read 60 s after a change still loses', read(60), stream(10), 'b'],
  ['a read more than 60 s after a change wins', read(60.001), stream(10), 'a'],
  ['a read before a change loses', read(-1), stream(10), 'b'],
  ['a change of a later epoch, whatever its position', stream(1, 0, 1), stream(2 ** 50), 'a'],
  [
    'the first epoch with the longest log',
    stream(1, 0, 1),
    { version: (1n << LSN_BITS) - 1n, at: T },
    'a',
  ],
  ['a change against a table that was never truncated', stream(1), { version: -1n, at: 0 }, 'a'],
  ['a read against a table that was never truncated', read(0), { version: -1n, at: 0 }, 'a'],
];

async function inSql(
  db: { query<R extends object>(text: string, values: unknown[]): Promise<R[]> },
  pairs: readonly (readonly [Version, Version])[],
): Promise<boolean[]> {
  const rows = await db.query<{ newer: boolean }>(
    `select muster.newer(av, aat, bv, bat) as newer
     from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
          with ordinality as p (av, aat, bv, bat, n) order by n`,
    [
      pairs.map(([a]) => a.version),
      pairs.map(([a]) => a.at),
      pairs.map(([, b]) => b.version),
      pairs.map(([, b]) => b.at),
    ],
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
  const version = fc.record({
    version: fc.oneof(
      fc.constant(0n),
      fc
        .tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 5 }))
        .map(([epoch, lsn]) => (BigInt(epoch) << LSN_BITS) | BigInt(lsn)),
    ),
    at: fc.constantFrom(0, 1, 59_999, 60_000, 60_001, 120_000).map((ms) => T + ms),
  });
  const pairs = fc.sample(fc.tuple(version, version), 2000);
  expect(await inSql(db, pairs)).toEqual(
    pairs.map(([a, b]) => isNewer(a as MemberRow, b as MemberRow)),
  );
});
