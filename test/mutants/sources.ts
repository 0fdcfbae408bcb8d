/** Guards of a row's source, its version, and the values that its message does not contain. */
import type { Mutant } from './mutants.ts';

const STATE = 'src/state/schema/migrations/002_functions.sql';
const INGEST_CHANGES = 'src/state/sql/ingest-changes.sql';
const MEMBER = 'src/state/ingest/member.ts';
const MARKS = 'src/state/ingest/log-positions.ts';

const SOURCES = ['test/state/ingest/sources.test.ts'];
const RESOLVE = ['test/state/ingest/resolve.test.ts'];
const ABSENT = ['test/state/ingest/absent.test.ts'];
const HISTORY = ['test/state/ingest/history.test.ts'];
const POSITIONS = ['test/state/ingest/log-positions.test.ts'];
const NEWER = ['test/state/ingest/newer.test.ts'];

export const SOURCE_MUTANTS: readonly Mutant[] = [
  {
    name: 'a row in no set forgets the filter columns that its change did not send',
    file: MEMBER,
    find: 'decides ? [null, null, null, true] : []',
    replace: '[]',
    tests: RESOLVE,
  },
  {
    name: 'rows with the same id in different sources count as one',
    file: MEMBER,
    find: '    source: place.source,\n',
    replace: '    source: 1,\n',
    tests: SOURCES,
  },
  {
    name: 'a truncate removes the rows of every source',
    file: INGEST_CHANGES,
    find: ' and t.source = c.source\n',
    replace: '\n',
    tests: SOURCES,
  },
  {
    name: 'rows of a forgotten source are ingested',
    file: INGEST_CHANGES,
    find: 'and not $20::boolean as is_forgotten',
    replace: 'and false and not $20::boolean as is_forgotten',
    tests: SOURCES,
  },
  {
    name: 'a read beats a change above its position',
    file: STATE,
    find: 'greatest(a_version, a_commits) <= -b_version',
    replace: 'true',
    tests: NEWER,
  },
  {
    name: 'a read beats a later commit',
    file: STATE,
    find: 'greatest(b_version, b_commits) <= -a_version',
    replace: 'b_version <= -a_version',
    tests: NEWER,
  },
  {
    name: 'a read beats a change without being later',
    file: STATE,
    find: '    b_at + 60000 < a_at\n      and (',
    replace: '    (',
    tests: NEWER,
  },
  {
    name: 'the batcher does not compare the positions of reads',
    file: 'src/state/version.ts',
    find: '  return (commits !== null && commits > version ? commits : version) <= -read.version;',
    replace: '  return version !== 0n || commits !== null || read.version !== 0n;',
    tests: NEWER,
  },
  {
    name: 'a change gets the epoch in which it arrives',
    file: 'src/state/ingest/epochs.ts',
    find: "    if (side === 'after') return firstEpoch + i + 1;",
    replace: '    return firstEpoch + i + 1;',
    tests: POSITIONS,
  },
  {
    name: 'a change between two epochs gets the old one',
    file: 'src/state/ingest/epochs.ts',
    find: 'if (failover === undefined || gtid === undefined) return isBehindEnd ? false : null;',
    replace: 'if (failover === undefined || gtid === undefined) return false;',
    tests: POSITIONS,
  },
  {
    name: 'the last known time follows a clock that is ahead',
    file: 'src/state/ingest/position-jump.ts',
    find: 'Math.min(change.at, Date.now() + CLOCK_AHEAD_MS)',
    replace: 'change.at',
    tests: POSITIONS,
  },
  {
    name: 'the last known time moves backwards',
    file: MARKS,
    find: 'newest.at = Math.max(newest.at, at);',
    replace: 'newest.at = at;',
    tests: POSITIONS,
  },
  {
    name: 'an early time is enough to count history as new',
    file: MARKS,
    find: 'return lsn === null || newest.streamedLsn === null || newest.streamedLsn < lsn;',
    replace: 'return true;',
    tests: POSITIONS,
  },
  {
    name: 'an initial snapshot of a log that started over is accepted',
    file: MARKS,
    find: "    if (isRead && change.snapshot !== 'initial') return fine;",
    replace: '    if (isRead) return fine;',
    tests: POSITIONS,
  },
  {
    name: 'a new epoch is not checked for before a change is ingested',
    file: 'src/state/ingest/change-ingestor.ts',
    find: '        await this.#positions.exchange();\n        check = this.#positions.check(change);\n',
    replace: '',
    tests: POSITIONS,
  },
  {
    name: 'an absent column counts as null',
    file: 'src/state/ingest/pick-columns.ts',
    find: '    if (!Object.hasOwn(row, column)) throw new AbsentColumn(column);',
    replace: '    if (!Object.hasOwn(row, column)) { picked[column] = null; continue; }',
    tests: ABSENT,
  },
  {
    name: 'a row whose id was not sent is taken for one that lacks a column',
    file: MEMBER,
    find: ' && value !== UNAVAILABLE) continue;',
    replace: ') continue;',
    tests: ABSENT,
  },
  {
    name: 'an event whose attributes have names with U+0000 can not be parked',
    file: 'src/state/ingest/parking.ts',
    find: 'pair.map(storable)',
    replace: 'pair',
    tests: ['test/state/ingest/parking.test.ts'],
  },
  {
    name: "a row whose new key can't be stored stays in its old set",
    file: MEMBER,
    find: '      if (error instanceof BadKey && facts !== null) rows.push({ ...facts, ...REMOVED });',
    replace: '      void REMOVED;',
    tests: ABSENT,
  },
  {
    name: 'a row whose new values are refused stays in its old set',
    file: 'src/state/ingest/batcher.ts',
    find: '        await withdraw(this.#store, first.rows);\n',
    replace: '',
    tests: ABSENT,
  },
  {
    name: 'a row whose new values are refused, and that lacks a column, stays in its old set',
    file: 'src/state/ingest/change-ingestor.ts',
    find: 'await withdraw(this.#store, mapped.rows).catch',
    replace: 'await Promise.resolve(withdraw).catch',
    tests: ABSENT,
  },
  {
    name: 'a handler does not learn which columns were never sent',
    file: 'src/state/runs/load-members.ts',
    find: 'unavailable: unavailable ?? NONE',
    replace: 'unavailable: NONE',
    tests: ABSENT,
  },
  {
    name: 'a changed row of history counts as new',
    file: STATE,
    find: '  winner.history := coalesce(winner.history, other.history);\n',
    replace: '',
    tests: HISTORY,
  },
  {
    name: 'a snapshot row is not recorded if a change arrived first',
    file: INGEST_CHANGES,
    find: '     or excluded.history is not null and m.history is null\n',
    replace: '',
    tests: HISTORY,
  },
  {
    name: 'a snapshot row is lost in a batch with a change',
    file: 'src/state/ingest/batcher.ts',
    find: 'newer.history === null && older.history !== null',
    replace: 'false',
    tests: HISTORY,
  },
  {
    name: 'a waiting run starts although its set is history',
    file: STATE,
    find: "  if s.complete and s.fresh = 0 and s.attempt = 0 and s.state is distinct from 'done'\n",
    replace: '  if s.complete and s.fresh = 0 and s.state is null\n',
    tests: HISTORY,
  },
  {
    name: 'an old change gets an epoch without changes',
    file: 'src/state/ingest/epochs.ts',
    find: "if (side === 'before' || isOlder) continue;",
    replace: "if (side === 'before') continue;",
    tests: POSITIONS,
  },
];
