/** Guards of the comparison of tables with what is held of their rows. */
import type { Mutant } from './mutants.ts';

const RECONCILE = 'src/reconcile/reconcile.ts';
const READER = 'src/intake/wal/table-reader.ts';
const DIFFERENCE = 'src/reconcile/difference.ts';
const COMPARABLE = 'src/reconcile/comparable.ts';
const PARTS = 'src/reconcile/parts.ts';
const HELD_ROWS = 'src/state/sql/held-rows.sql';
const TESTS = ['test/reconcile/reconcile.test.ts'];
const DONE = ['test/reconcile/done.test.ts'];
const SOURCES = ['test/reconcile/sources.test.ts'];

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
    tests: DONE,
  },
  {
    name: 'reconcile: rows of forgotten sets run again',
    file: RECONCILE,
    find: "kind === 'missing' && mayBeForgotten",
    replace: "kind === 'gone' && mayBeForgotten",
    tests: DONE,
  },
  {
    name: 'reconcile: a forgotten set that has a row again counts as lost',
    file: HELD_ROWS,
    find: 'f.forgotten_token > 0 and wanted.state is null',
    replace:
      'f.forgotten_token > 0 and not exists (select from muster.sets s where s.function = $1 and s.key_hash = r.key_hash)',
    tests: DONE,
  },
  {
    name: 'reconcile: forgotten history runs',
    file: 'src/state/sql/forgettable-runs.sql',
    find: 'f.forgotten_token < greatest(max(token) filter (where old), 1)',
    replace: 'f.forgotten_token < max(token) filter (where old)',
    tests: DONE,
  },
  {
    name: 'reconcile: a purged row is never missing in another set',
    file: HELD_ROWS,
    find: "coalesce(wanted.state = 'done' and (m.id is null or m.purged and coalesce(m.key_hash = r.key_hash, true)), false)",
    replace: "coalesce(m.purged or wanted.state = 'done' and m.id is null, false)",
    tests: DONE,
  },
  {
    name: 'reconcile: rows that a snapshot has not reached run',
    file: RECONCILE,
    find: 'isEmpty || isUnderWay || !this.#source.hasStreamed',
    replace: 'isEmpty',
    tests: DONE,
  },
  {
    name: 'reconcile: a predecessor of a connector is compared in its old epoch',
    file: PARTS,
    find: '  if (successor.name === name) return found;\n',
    replace: '  if (successor !== null) return found;\n',
    tests: DONE,
  },
  {
    name: 'reconcile: rows of another connector are missing',
    file: PARTS,
    find: '  if (connectors.length === 1) return null;\n',
    replace: '  if (connectors.length > 0) return null;\n',
    tests: SOURCES,
  },
  {
    name: 'reconcile: a row is sought by a text that is not its id',
    file: COMPARABLE,
    find: '  if (names !== undefined) {\n',
    replace: '  if (names !== undefined && !isOwnReader) {\n',
    tests: SOURCES,
  },
  {
    name: 'reconcile: rows that a publication leaves out are missing',
    file: PARTS,
    find: 'filtered.includes(part.table)',
    replace: 'filtered.includes(part.name)',
    tests: SOURCES,
  },
  {
    name: 'reconcile: the database of an own reader is not verified',
    file: PARTS,
    find: '  if (exists) return filtered;\n',
    replace: '  if (exists || filtered.length === 0) return filtered;\n',
    tests: SOURCES,
  },
  {
    name: 'reconcile: rows of tables that inherit are rows of their parent',
    file: 'src/intake/wal/source-table.ts',
    find: "isPartitioned ? '' : 'only '",
    replace: "isPartitioned ? '' : ''",
    tests: SOURCES,
  },
  {
    name: 'reconcile: an id that can not be cast ends it',
    file: 'src/intake/wal/table-reader.ts',
    find: 'NO_VALUE.has(String(error.cause))',
    replace: 'NO_VALUE.size === 0',
    tests: SOURCES,
  },
  {
    name: 'reconcile: settings are left in a session that others share',
    file: READER,
    find: "'${value}', true) end`",
    replace: "'${value}', false) end`",
    tests: SOURCES,
  },
  {
    name: 'reconcile: the rows of another database are removed',
    file: RECONCILE,
    find: 'differing <= part.equal',
    replace: 'differing >= part.equal',
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
    find: '!isOf(SAME_FORM, column)',
    replace: '!isOf(SAME_FORM, column) && isOwnReader',
    tests: TESTS,
  },
  {
    name: 'reconcile: a snapshot of this table is complete once another one is streamed',
    file: RECONCILE,
    find: 'isEmpty || isUnderWay || !',
    replace: 'isEmpty || !',
    tests: DONE,
  },
  {
    name: 'reconcile: the rows of a new part run unasked',
    file: RECONCILE,
    find: '    if (await part.isUnsynced()) {\n',
    replace: '    if (differing < 0) {\n',
    tests: DONE,
  },
  {
    name: 'reconcile: a done set that got another row misses the purged ones',
    file: HELD_ROWS,
    find: "wanted.state = 'done' and (m.id is null or",
    replace: "wanted.state = 'done' and (false or",
    tests: DONE,
  },
  {
    name: 'reconcile: rows are found by columns that need not be unique',
    file: COMPARABLE,
    find: '  if (!isKey) {\n',
    replace: '  if (!isKey && part.id.length === 0) {\n',
    tests: SOURCES,
  },
  {
    name: 'reconcile: a null that a connector replaces differs',
    file: COMPARABLE,
    find: '  if (defaulted !== undefined) {\n',
    replace: '  if (defaulted !== undefined && defaulted.isArray) {\n',
    tests: SOURCES,
  },
  {
    name: 'reconcile: a session that has ended during the wait ends it',
    file: RECONCILE,
    find: '      await this.#reader.open();\n',
    replace: '',
    tests: SOURCES,
  },
  {
    name: 'reconcile: a page begins with the last row of the one before',
    file: READER,
    find: 'where (${key}) > (',
    replace: 'where (${key}) >= (',
    tests: TESTS,
  },
];
