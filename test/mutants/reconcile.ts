/** Guards of the comparison of tables with what is held of their rows. */
import type { Mutant } from './mutants.ts';

const RECONCILE = 'src/reconcile/reconcile.ts';
const READER = 'src/intake/wal/table-reader.ts';
const DIFFERENCE = 'src/reconcile/difference.ts';
const COMPARABLE = 'src/reconcile/comparable.ts';
const TESTS = ['test/reconcile/reconcile.test.ts'];

export const RECONCILE_MUTANTS: readonly Mutant[] = [
  {
    name: 'reconcile: a change that is under way is a difference',
    file: RECONCILE,
    find: '      await sleep(waitMs);\n',
    replace: '',
    tests: TESTS,
  },
  {
    name: 'reconcile: a correction undoes a change of the last minute',
    file: READER,
    find: 'at: BigInt(at),',
    replace: 'at: BigInt(at) + 120_000_000n,',
    tests: TESTS,
  },
  {
    name: 'reconcile: rows of purged sets run again',
    file: DIFFERENCE,
    find: "held.isPurged ? null : 'missing'",
    replace: "'missing'",
    tests: TESTS,
  },
  {
    name: 'reconcile: rows of forgotten sets run again',
    file: RECONCILE,
    find: 'hasForgotten && kind',
    replace: 'kind !== kind && kind',
    tests: TESTS,
  },
  {
    name: 'reconcile: the rows of another database are removed',
    file: RECONCILE,
    find: 'const isOther = part.equal === 0',
    replace: 'const isOther = part.equal < 0',
    tests: TESTS,
  },
  {
    name: 'reconcile: the log of another server counts',
    file: RECONCILE,
    find: '  if (ingested <= lsn) return;\n',
    replace: '  if (ingested <= lsn || lsn > 0n) return;\n',
    tests: TESTS,
  },
  {
    name: 'reconcile: a row that waits for a standby is removed',
    file: READER,
    find: '    if (waits) {\n',
    replace: '    if (waits && isSynchronous && !sees) {\n',
    tests: TESTS,
  },
  {
    name: 'reconcile: a login that does not see transactions wait is believed',
    file: READER,
    find: 'return isSynchronous && !sees\n',
    replace: 'return waits\n',
    tests: TESTS,
  },
  {
    name: 'reconcile: decimals are compared in a form that they may not have',
    file: COMPARABLE,
    find: "kind === 'e' || PLAIN.has(base)",
    replace: "kind === 'e' || base !== ''",
    tests: TESTS,
  },
  {
    name: 'reconcile: a page begins with the last row of the one before',
    file: READER,
    find: 'where (${key}) > (',
    replace: 'where (${key}) >= (',
    tests: TESTS,
  },
];
