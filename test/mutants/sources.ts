/** Guards of where a row comes from, how new it is, and what its message does not say. */
import type { Mutant } from './mutants.ts';

const STATE = 'src/state/schema/migrations/002_functions.sql';
const INGEST_CHANGES = 'src/state/sql/ingest-changes.sql';
const MEMBER = 'src/state/ingest/member.ts';
const MARKS = 'src/state/ingest/log-positions.ts';

const SOURCES = ['test/state/ingest/sources.test.ts'];
const ABSENT = ['test/state/ingest/absent.test.ts'];
const HISTORY = ['test/state/ingest/history.test.ts'];
const POSITIONS = ['test/state/ingest/log-positions.test.ts'];
const NEWER = ['test/state/ingest/newer.test.ts'];

export const SOURCE_MUTANTS: readonly Mutant[] = [
  {
    name: 'rows of all sources are one row',
    file: MEMBER,
    find: '    source: place.source,\n',
    replace: '    source: 1,\n',
    tests: SOURCES,
  },
  {
    name: 'a truncate takes the rows of every source',
    file: INGEST_CHANGES,
    find: ' and t.source = c.source\n',
    replace: '\n',
    tests: SOURCES,
  },
  {
    name: 'rows of a source that was forgotten are ingested',
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
    name: 'a read beats what was committed after it',
    file: STATE,
    find: 'greatest(b_version, b_commits) <= -a_version',
    replace: 'b_version <= -a_version',
    tests: NEWER,
  },
  {
    name: 'a read needs no later time',
    file: STATE,
    find: '    b_at + 60000 < a_at\n      and (',
    replace: '    (',
    tests: NEWER,
  },
  {
    name: 'the batcher asks a read for no position',
    file: 'src/state/version.ts',
    find: '  return (commits !== null && commits > version ? commits : version) <= -read.version;',
    replace: '  return version !== 0n || commits !== null || read.version !== 0n;',
    tests: NEWER,
  },
  {
    name: 'a change belongs to the epoch in which it arrives',
    file: 'src/state/ingest/epochs.ts',
    find: '    if (at >= boundary.beganAt) return epochs.firstEpoch + i + 1;',
    replace: '    return epochs.firstEpoch + i + 1;',
    tests: POSITIONS,
  },
  {
    name: 'a change between two epochs is of the old one',
    file: 'src/state/ingest/epochs.ts',
    find: 'lsn > boundary.endedLsn ? epochs.firstEpoch + i : null',
    replace: 'true ? epochs.firstEpoch + i : null',
    tests: POSITIONS,
  },
  {
    name: 'guards follow a clock that is ahead',
    file: MARKS,
    find: 'Math.min(change.at, Date.now() + CLOCK_AHEAD_MS)',
    replace: 'change.at',
    tests: POSITIONS,
  },
  {
    name: 'the newest position follows time backwards',
    file: MARKS,
    find: 'newest.at = Math.max(newest.at, at);',
    replace: 'newest.at = at;',
    tests: POSITIONS,
  },
  {
    name: 'an early time alone makes history news',
    file: MARKS,
    find: 'return lsn === null || newest.streamedLsn === null || newest.streamedLsn < lsn;',
    replace: 'return true;',
    tests: POSITIONS,
  },
  {
    name: 'an initial snapshot of a log that started over is taken',
    file: MARKS,
    find: "    if (isRead && change.snapshot !== 'initial') return fine;",
    replace: '    if (isRead) return fine;',
    tests: POSITIONS,
  },
  {
    name: 'an epoch that has just begun is heard of later',
    file: 'src/state/ingest/change-ingestor.ts',
    find: '        check = this.#positions.check(change);\n',
    replace: '',
    tests: POSITIONS,
  },
  {
    name: 'an absent column is null',
    file: MEMBER,
    find: '    if (!Object.hasOwn(row, column)) throw new AbsentColumn(column);',
    replace: '    if (!Object.hasOwn(row, column)) { picked[column] = null; continue; }',
    tests: ABSENT,
  },
  {
    name: 'a row whose new key can not be stored stays in its old set',
    file: MEMBER,
    find: '      if (error instanceof BadKey) rows.push({ ...facts, ...REMOVED });',
    replace: '      void REMOVED;',
    tests: ABSENT,
  },
  {
    name: 'a row whose new values are refused stays in its old set',
    file: 'src/state/ingest/batcher.ts',
    find: '        await this.#withdraw(first.rows);\n',
    replace: '        void this.#withdraw;\n',
    tests: ABSENT,
  },
  {
    name: 'a handler is not told of columns that were never sent',
    file: 'src/state/runs/load-members.ts',
    find: 'unavailable: unavailable ?? NONE',
    replace: 'unavailable: NONE',
    tests: ABSENT,
  },
  {
    name: 'a row of history that changes is new',
    file: STATE,
    find: '  winner.history := coalesce(winner.history, other.history);\n',
    replace: '',
    tests: HISTORY,
  },
  {
    name: 'what the snapshot found is not known where a change came first',
    file: INGEST_CHANGES,
    find: '     or excluded.history is not null and m.history is null\n',
    replace: '',
    tests: HISTORY,
  },
  {
    name: 'what the snapshot found is lost in a batch with a change',
    file: 'src/state/ingest/batcher.ts',
    find: 'newer.history === null && older.history !== null',
    replace: 'false',
    tests: HISTORY,
  },
  {
    name: 'a run that waits goes on though its set is history',
    file: STATE,
    find: "  if p.state = 'done' and p.complete and r.attempt = 0 and r.started_at is null then",
    replace: '  if false then',
    tests: HISTORY,
  },
  {
    name: 'an old change belongs to an epoch in which no change was seen',
    file: 'src/state/ingest/epochs.ts',
    find: 'if (before !== undefined && at < before.beganAt) continue;',
    replace: '',
    tests: POSITIONS,
  },
];
