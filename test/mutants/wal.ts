import type { Mutant } from './mutants.ts';

const FAILURES = ['test/intake/wal/failures.test.ts'];
const ACKNOWLEDGED = ['test/intake/wal/acknowledged.test.ts'];
const MESSAGES = ['test/intake/wal/messages.test.ts'];
const SESSION = 'src/intake/wal/session.ts';
const CHECKS = 'src/intake/wal/source-checks.ts';

/** Guards of reading the source's own log. */
export const WAL_MUTANTS: readonly Mutant[] = [
  {
    name: 'wal: rows that arrive while the slot is lost are history if nothing was streamed before',
    file: SESSION,
    find: '      await state.noteSnapshot(this.#source, at);\n',
    replace: '      void at;\n',
    tests: FAILURES,
  },
  {
    name: 'wal: a source that vanishes without a word is waited for',
    file: SESSION,
    find: 'await withTimeout(readSlot(client, name), ANSWER_MS)',
    replace: 'await readSlot(client, name)',
    tests: FAILURES,
  },
  {
    name: 'wal: a large key that did not change is unknown',
    file: 'src/intake/wal/pgoutput.ts',
    find: '(isWhole || before[i] !== null)',
    replace: 'isWhole',
    tests: ['test/intake/wal/changes.test.ts'],
  },
  {
    name: 'wal: a change is acknowledged before it is ingested',
    file: 'src/intake/wal/stream.ts',
    find: 'this.#options.delivery.push(change, bytes, () => this.#watermark.delivered(transaction));',
    replace:
      'this.#options.delivery.push(change, bytes, () => {});\n    this.#watermark.delivered(transaction);',
    tests: FAILURES,
  },
  {
    name: 'wal: the slot is acknowledged past a change that is not delivered',
    file: 'src/intake/wal/watermark.ts',
    find: '      if (first?.end === undefined || first.undelivered > 0) return;\n',
    replace: '      if (first?.end === undefined) return;\n',
    tests: ACKNOWLEDGED,
  },
  {
    name: 'wal: the slot is acknowledged past the end of a delivered transaction',
    file: 'src/intake/wal/stream.ts',
    find: 'this.#watermark.commit(this.#transaction!, message.end);',
    replace: 'this.#watermark.commit(this.#transaction!, message.end + 65_536n);',
    tests: ACKNOWLEDGED,
  },
  {
    name: 'wal: the message of a changed key is that of an update',
    file: 'src/intake/wal/row-changes.ts',
    find: 'event: () => eventOf(message, op),',
    replace: 'event: () => eventOf(message, message.op),',
    tests: MESSAGES,
  },
  {
    name: 'wal: a key that the log does not have counts as another one',
    file: 'src/intake/wal/row-changes.ts',
    find: 'before[number] != null && before[number] !== after[number]',
    replace: 'before[number] !== after[number]',
    tests: MESSAGES,
  },
  {
    name: 'wal: a message shows the key alone as the row before an update',
    file: 'src/intake/wal/row-changes.ts',
    find: 'before: isWhole ? before : null,',
    replace: 'before,',
    tests: MESSAGES,
  },
  {
    name: 'wal: the slot is created before the rows are ingested',
    file: 'src/intake/wal/snapshot.ts',
    find: '    await delivery.drained();\n',
    replace: '',
    tests: FAILURES,
  },
  {
    name: 'wal: a read does not replace what changed within a minute before it',
    file: 'src/intake/wal/snapshot.ts',
    find: 'BigInt(CLOCK_MARGIN_MS + 1) * 1000n',
    replace: 'BigInt(CLOCK_MARGIN_MS * 0) * 1000n',
    tests: FAILURES,
  },
  {
    name: 'wal: a snapshot lacks the rows that a policy hides',
    file: 'src/intake/wal/connection.ts',
    find: "row_security: 'off',",
    replace: "row_security: 'on',",
    tests: FAILURES,
  },
  {
    name: 'wal: a new table is not noted as unread',
    file: 'src/intake/wal/publication.ts',
    find: 'noteOf(id, { functions, unread })].join',
    replace: 'noteOf(id, { functions, unread: [] })].join',
    tests: FAILURES,
  },
  {
    name: 'wal: a process waits behind one with other functions',
    file: CHECKS,
    find: '  if (isPart || isWhole) return;\n',
    replace: '  if (isPart || isWhole || functions.length > 0) return;\n',
    tests: FAILURES,
  },
  {
    name: 'wal: a slot is read from which this state knows nothing',
    file: SESSION,
    find: 'if (ingested === null && slot !== null) throw foreignSlot(name);',
    replace: 'if (ingested === null && slot !== null && name === "") throw foreignSlot(name);',
    tests: FAILURES,
  },
  {
    name: 'wal: a log that ends before what was ingested is read',
    file: CHECKS,
    find: '  if (ingested <= end) return;\n',
    replace: '  if (ingested <= end || end > 0n) return;\n',
    tests: FAILURES,
  },
  {
    name: 'wal: the loss of a slot is not reported',
    file: CHECKS,
    find: "return ingested > 0n ? 'the slot was dropped' : null",
    replace: "return ingested < 0n ? 'the slot was dropped' : null",
    tests: FAILURES,
  },
  {
    name: 'wal: a slot whose publication was dropped is read on',
    file: CHECKS,
    find: "return isNewPublication ? 'the publication was dropped' : null;",
    replace: "return isNewPublication && ingested < 0n ? 'the publication was dropped' : null;",
    tests: FAILURES,
  },
  {
    name: 'wal: two processes read the rows at once',
    file: SESSION,
    find: '    if (!rows[0]!.isMine) return null;\n',
    replace: '',
    tests: FAILURES,
  },
  {
    name: 'wal: a superseded process keeps the slot',
    file: 'src/intake/wal/intake.ts',
    find: "if (closed() !== null) return 'ended';",
    replace: "if (closed() === '') return 'ended';",
    tests: FAILURES,
  },
  {
    name: 'wal: a table that the publication lost is not noticed',
    file: SESSION,
    find: 'if (!(await publishes(client, name, [...tables.keys()]))) {',
    replace: 'if (!(await publishes(client, name, [...tables.keys()].slice(tables.size)))) {',
    tests: FAILURES,
  },
  {
    name: 'wal: a change that can not be read ends the stream',
    file: 'src/intake/wal/row-changes.ts',
    find: "    return [{ kind: 'bad', origin: originOf(message.op), detail: detailOf(error) }];\n",
    replace: '    throw error;\n',
    tests: ['test/intake/wal/parked.test.ts'],
  },
  {
    name: 'wal: deliveries that were aborted are tried again',
    file: 'src/intake/wal/delivery.ts',
    find: "  if (error instanceof Error && error.name === 'AbortError') return true;\n",
    replace: '',
    tests: ['test/local/source-follower.test.ts'],
  },
  {
    name: 'wal: a standby that the source waits for is not reported',
    file: SESSION,
    find: 'isHeldBack = performance.now() - sentAt > AWAITED_MS;',
    replace: 'isHeldBack = performance.now() - sentAt > AWAITED_MS * 1_000;',
    tests: ['test/chaos/failover.test.ts'],
  },
  {
    name: 'doctor: a standby that the source waits for is not reported',
    file: 'src/doctor/source/failover.ts',
    find: 'if (away.length > 0) {',
    replace: 'if (away.length > 9) {',
    tests: ['test/chaos/failover.test.ts'],
  },
  {
    name: 'wal: the slot is not copied to standbys',
    file: SESSION,
    find: 'if (ready.hasFailover === false) await this.#enableFailover();',
    replace: '',
    tests: ['test/intake/wal/versions.test.ts'],
  },
];
