/** Guards of positions in a binlog. */
import type { Mutant } from './mutants.ts';

const READ = 'src/intake/debezium/log-position.ts';
const JUMP = 'src/state/ingest/position-jump.ts';
const BINLOG = ['test/intake/debezium/binlog.test.ts'];
const POSITIONS = ['test/state/ingest/binlog-positions.test.ts'];

export const BINLOG_MUTANTS: readonly Mutant[] = [
  {
    name: 'changes of a binlog that started over are ingested once they pass the old positions',
    file: JUMP,
    find: "return change.log === 'binlog' && restartedAt !== null && change.at >= restartedAt;",
    replace: 'return false;',
    tests: POSITIONS,
  },
  {
    name: 'two rows of one event have the same position',
    file: READ,
    find: 'return binlogPosition(file, pos + row);',
    replace: 'return binlogPosition(file, pos);',
    tests: BINLOG,
  },
  {
    name: 'the row of an earlier event moves a read and a truncate ahead',
    file: READ,
    find: "const hasRow = raw.op !== 'r' && raw.op !== 't';",
    replace: 'const hasRow = true;',
    tests: BINLOG,
  },
  {
    name: 'a file number may overflow into the epoch',
    file: READ,
    find: '    file <= MAX_BINLOG_FILE &&\n',
    replace: '',
    tests: BINLOG,
  },
  {
    name: 'a position in a file may overflow into the next file',
    file: READ,
    find: 'pos + row <= MAX_BINLOG_OFFSET',
    replace: 'true',
    tests: BINLOG,
  },
  {
    name: 'a binlog that starts over is noticed only after five minutes',
    file: JUMP,
    find: "if (change.log === 'binlog' && newest.handledAt > 0) {",
    replace: 'if (newest.handledAt < 0) {',
    tests: POSITIONS,
  },
  {
    name: 'a late change of a binlog counts as a restart',
    file: JUMP,
    find: 'return handledAt > newest.handledAt && at > newest.at;',
    replace: 'return at > newest.at;',
    tests: POSITIONS,
  },
  {
    name: 'a change that the connector reads again counts as a restart',
    file: JUMP,
    find: 'return handledAt > newest.handledAt && at > newest.at;',
    replace: 'return handledAt > newest.handledAt;',
    tests: POSITIONS,
  },
  {
    name: 'a commit time counts as the time of handling',
    file: JUMP,
    find: 'return isRead || change.handledAt !== change.at ? change.handledAt : null;',
    replace: 'return isRead || change.handledAt > 0 ? change.handledAt : null;',
    tests: POSITIONS,
  },
  {
    name: 'a new binlog file counts as four GiB of log',
    file: JUMP,
    find: 'isBinlog ? binlogPosition(AHEAD_FILES, 0n) : AHEAD_BYTES',
    replace: 'AHEAD_BYTES',
    tests: POSITIONS,
  },
  {
    name: 'a long transaction sets the stored time of a source back',
    file: 'src/state/ingest/log-positions.ts',
    find: 'at = greatest(s.at, m.at)',
    replace: 'at = case when s.lsn < m.lsn then m.at else s.at end',
    tests: POSITIONS,
  },
  {
    name: 'a position that is ahead has no remedy',
    file: 'src/doctor/database/work.ts',
    find: "if (reason === 'position-ahead' && bump !== undefined) return",
    replace: "if (reason === 'position-ahead' && bump === 'none') return",
    tests: ['test/doctor/work.test.ts'],
  },
];
