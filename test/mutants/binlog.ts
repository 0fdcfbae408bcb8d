/** Guards of positions in a binlog. */
import type { Mutant } from './mutants.ts';

const READ = 'src/intake/debezium/log-position.ts';
const JUMP = 'src/state/ingest/position-jump.ts';
const BINLOG = ['test/intake/debezium/binlog.test.ts'];
const FAILOVER = ['test/state/ingest/failover.test.ts'];
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
    file: 'src/intake/debezium/validate-change.ts',
    find: 'isTime(raw.handledAt) ? raw.handledAt : null;',
    replace: 'isTime(raw.handledAt) ? raw.handledAt : at;',
    tests: ['test/intake/debezium/read-change.test.ts'],
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
    file: 'src/state/ingest/stored-positions.ts',
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
  {
    name: 'a failover in the same second loses changes',
    file: 'src/state/ingest/log-positions.ts',
    find: "    if (epoch < MAX_EPOCH && hasMoved(newest, change, at)) return { kind: 'moved' };\n",
    replace: '',
    tests: FAILOVER,
  },
  {
    name: 'a transaction that is read again begins an epoch',
    file: JUMP,
    find: '  if (isNewTransaction(newest.gtids, gtid)) {\n',
    replace: '  {\n',
    tests: FAILOVER,
  },
  {
    name: 'a late transaction begins an epoch',
    file: JUMP,
    find: 'newest.handledAt === 0 || handledAt <= newest.handledAt) return false;',
    replace: 'newest.handledAt === 0) return false;',
    tests: FAILOVER,
  },
  {
    name: 'a server that never committed before is told apart only by its position',
    file: JUMP,
    find: ' || isOfNewServer(newest.gtids, gtid)) return true;',
    replace: ') return true;',
    tests: FAILOVER,
  },
  {
    name: 'a server that is many files ahead waits for a person, despite GTIDs',
    file: JUMP,
    find: '  if (whyAhead(newest, change, at) !== null) return true;\n',
    replace: '',
    tests: FAILOVER,
  },
  {
    name: 'an epoch begins before a person has decided about a log that started over',
    file: JUMP,
    find: ' || newest.restartedAt !== null) return false;',
    replace: ') return false;',
    tests: FAILOVER,
  },
  {
    name: 'a new epoch of a person keeps the numbers of the old transactions',
    file: 'src/state/ingest/epochs.ts',
    find: "restarted_at = null, gtids = '{}',",
    replace: 'restarted_at = null,',
    tests: FAILOVER,
  },
  {
    name: 'the epochs of a failover are told apart by the times of the commits',
    file: 'src/state/ingest/epochs.ts',
    find: "{ what: 'handled', at: handledAt, border: failover! }",
    replace: "{ what: 'handled', at: change.at, border: failover! }",
    tests: FAILOVER,
  },
  {
    name: 'between two servers, what is read again belongs to the new one',
    file: 'src/state/ingest/epochs.ts',
    find: '  if (isOvertaken(failover.gtids, gtid)) return false;\n',
    replace: '',
    tests: FAILOVER,
  },
  {
    name: 'between two servers, what is new belongs to the old one',
    file: 'src/state/ingest/epochs.ts',
    find: '  if (mayBeNew !== isBehindEnd) return mayBeNew;\n',
    replace: '  if (mayBeNew !== isBehindEnd) return false;\n',
    tests: FAILOVER,
  },
  {
    name: 'two workers begin two epochs',
    file: 'src/state/ingest/epochs.ts',
    find: 'where name = $1 and epoch = $2 and handled_at < $4',
    replace: 'where name = $1 and epoch >= $2 and handled_at < $4',
    tests: FAILOVER,
  },
  {
    name: 'the epoch to end is looked up after another worker has ended it',
    file: 'src/state/ingest/log-positions.ts',
    find: `    const { firstEpoch, boundaries } = this.#positions.get(change.source)!;
    const epoch = firstEpoch + boundaries.length;
    // What was seen before belongs to the epoch that ends; an exchange under way may have begun without it.
    await this.#exchanging;
    await this.exchange();
`,
    replace: `    await this.#exchanging;
    await this.exchange();
    const { firstEpoch, boundaries } = this.#positions.get(change.source)!;
    const epoch = firstEpoch + boundaries.length;
`,
    tests: FAILOVER,
  },
  {
    name: 'a GTID of another domain counts',
    file: 'src/state/ingest/gtids.ts',
    find: 'key.startsWith(`${domain}/`) && number <= seen',
    replace: 'number <= seen',
    tests: FAILOVER,
  },
  {
    name: "a read of a snapshot has its transaction's place",
    file: READ,
    find: " || raw.op === 'r') return null;",
    replace: ') return null;',
    tests: BINLOG,
  },
  {
    name: 'what the new server committed belongs to the old log, at a position behind its end',
    file: 'src/state/ingest/epochs.ts',
    find: '  if (mayBeNew && gtid.server === failover.server) return true;\n',
    replace: '  if (mayBeNew && gtid.server === failover.server) return !isBehindEnd;\n',
    tests: FAILOVER,
  },
  {
    name: 'a server that has come and gone meanwhile counts as known',
    file: 'src/state/ingest/epochs.ts',
    find: '  if (isOfNewServer(failover.gtids, gtid)) return null;\n',
    replace: '',
    tests: FAILOVER,
  },
  {
    name: 'a change that may be in either log counts as one of the old one',
    file: 'src/state/ingest/epochs.ts',
    find: 'return mayBeNew && isFarAhead ? false : null;',
    replace: 'return mayBeNew ? false : null;',
    tests: FAILOVER,
  },
  {
    name: 'a change that can be in neither log counts as one of the old one',
    file: 'src/state/ingest/epochs.ts',
    find: 'return mayBeNew && isFarAhead ? false : null;',
    replace: 'return isFarAhead || !mayBeNew ? false : null;',
    tests: FAILOVER,
  },
  {
    name: 'a log that is far ahead parks what lags',
    file: 'src/state/ingest/epochs.ts',
    find: 'return mayBeNew && isFarAhead ? false : null;',
    replace: 'return null;',
    tests: FAILOVER,
  },
  {
    name: 'a new epoch has no newest position',
    file: 'src/state/ingest/epochs.ts',
    find: 'lsn = $5, at = $3, handled_at = $4, gtids',
    replace: 'lsn = 0 * $5::bigint, at = 0, handled_at = 0, gtids',
    tests: FAILOVER,
  },
  {
    name: 'a failover overflows the epoch',
    file: 'src/state/ingest/log-positions.ts',
    find: 'if (epoch < MAX_EPOCH && hasMoved',
    replace: 'if (hasMoved',
    tests: FAILOVER,
  },
  {
    name: 'a successor overflows the epoch',
    file: 'src/state/ingest/sources.ts',
    find: '  if (old.epoch >= MAX_EPOCH) throw new Error(describeLastEpoch(name));\n',
    replace: '',
    tests: FAILOVER,
  },
  {
    name: 'what is read again from a new server is the end of the old log',
    file: 'src/state/ingest/log-positions.ts',
    find: 'if (change.gtid === undefined || !wasSeen(newest.gtids, change.gtid)) {',
    replace: '{',
    tests: FAILOVER,
  },
  {
    name: 'each worker begins an epoch with what a new server commits',
    file: 'src/state/ingest/epochs.ts',
    find: 'gtids = gtids || $7,',
    replace: "gtids = gtids || ($7::jsonb - '0/2'),",
    tests: FAILOVER,
  },
  {
    name: 'the rest of a transaction that a failover cut off is of the old log',
    file: JUMP,
    find: '  return isCut && ',
    replace: '  return false && isCut && ',
    tests: FAILOVER,
  },
  {
    name: 'between two servers, the newest transaction seen is of the old log whole',
    file: 'src/state/ingest/epochs.ts',
    find: 'if (isOvertaken(failover.gtids, gtid)) return false;',
    replace:
      'if (isOvertaken(failover.gtids, { ...gtid, number: gtid.number - 1n })) return false;',
    tests: FAILOVER,
  },
  {
    name: 'a transaction that is read again in its own file begins an epoch',
    file: JUMP,
    find: 'lsn! < newest.lsn && isInAnotherFile(lsn!, newest.lsn);',
    replace: 'lsn! < newest.lsn;',
    tests: FAILOVER,
  },
];
