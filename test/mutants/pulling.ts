import type { Mutant } from './mutants.ts';

const TRANSACTIONS = 'src/kafka/transactions.ts';

const PROJECTION = 'src/intake/kafka/projection-handler.ts';
const CHANGES = 'src/intake/kafka/change-handler.ts';
const DESTINATION = ['test/intake/kafka/projection-handler.test.ts'];
const CHANGE = ['test/intake/kafka/change-handler.test.ts'];
const READER = ['test/intake/kafka/partition.test.ts'];
const OWNED = ['test/intake/kafka/owned-partition.test.ts'];
const CHUNKS = ['test/state/projections/chunks.test.ts'];
const UNIT = ['test/kafka/transactions.test.ts'];

/** Guards of consuming from Kafka directly. */
export const PULLING_MUTANTS: readonly Mutant[] = [
  {
    name: 'pull: one aborted transaction begins with a record',
    file: TRANSACTIONS,
    find: 'while (begun < begins.length && begins[begun]!.first <= offset)',
    replace: 'if (begun < begins.length && begins[begun]!.first <= offset)',
    tests: UNIT,
  },
  {
    name: 'pull: aborted transactions are not sorted by their first offset',
    file: TRANSACTIONS,
    find: '.toSorted((a, b) => (a.first < b.first ? -1 : 1))',
    replace: '',
    tests: UNIT,
  },
  {
    name: 'pull: any record with the key of a marker ends a transaction',
    file: TRANSACTIONS,
    find: 'if (record.isControlRecord === true) {',
    replace: 'if (isAbort(record.key)) {',
    tests: UNIT,
  },
  {
    name: 'pull: records of aborted transactions are applied',
    file: 'src/kafka/protocol.ts',
    find: 'partitions.forEach(dropAborted)',
    replace: 'void partitions',
    tests: ['test/stack/transactions.test.ts'],
  },
  {
    name: 'pull: positions are read after the ends of the topic',
    file: PROJECTION,
    find: '    let stored = await this.#positions.stored(partitions);\n',
    replace:
      '    const early = await look();\n    look = () => Promise.resolve(early);\n    let stored = await this.#positions.stored(partitions);\n',
    tests: DESTINATION,
  },
  {
    name: 'pull: offsets of the group are read after the ends of the topic',
    file: 'src/intake/kafka/session.ts',
    find: `    const committed = await committedOf(this.#admin, group, topic, partitions);
    let now: Look | undefined;
    const starts = await handler.begin(topic, {
      committed,
      look: async () => (now = await lookAt(this.#admin, topic, partitions)),`,
    replace: `    const now: Look | undefined = await lookAt(this.#admin, topic, partitions);
    const committed = await committedOf(this.#admin, group, topic, partitions);
    const starts = await handler.begin(topic, {
      committed,
      look: () => Promise.resolve(now),`,
    tests: ['test/stack/pauses.test.ts'],
  },
  {
    name: 'pull: a former owner sets the start of a partition',
    file: PROJECTION,
    find: `    for (const each of stored) {
      if (!isOwner()) return [];
`,
    replace: '    for (const each of stored) {\n',
    tests: DESTINATION,
  },
  {
    name: 'pull: a former owner records lost records',
    file: CHANGES,
    find: '      if (!isOwner()) return [];\n',
    replace: '',
    tests: CHANGE,
  },
  {
    name: 'pull: a recreated topic is read from the old position',
    file: PROJECTION,
    find: 'id !== topicId && next > 0',
    replace: 'next < 0',
    tests: DESTINATION,
  },
  {
    name: 'pull: offsets of a deleted topic with the same name are used',
    file: CHANGES,
    find: 'isRecreated || offset > high',
    replace: 'offset > high',
    tests: CHANGE,
  },
  {
    name: 'pull: a truncated log is read from an offset beyond its end',
    file: CHANGES,
    find: 'isRecreated || offset > high',
    replace: 'isRecreated',
    tests: CHANGE,
  },
  {
    name: 'pull: a problem stops a partition whose position has moved',
    file: 'src/state/projections/positions.ts',
    find: 'and next = coalesce($4, next)',
    replace: 'and coalesce($4, next) >= 0',
    tests: DESTINATION,
  },
  {
    name: 'pull: positions of a topic that one broker does not know yet are deleted',
    file: 'src/state/sql/forget-positions.sql',
    find: 'and topic_id <> $3::text',
    replace: 'and $3::text is not null',
    tests: DESTINATION,
  },
  {
    name: 'pull: positions of existing partitions are deleted',
    file: 'src/state/sql/forget-positions.sql',
    find: '    and partition <> all ($4::int[])\n',
    replace: '    and $4::int[] is not null\n',
    tests: DESTINATION,
  },
  {
    name: 'pull: progress read before a pause counts as new',
    file: PROJECTION,
    find: 'this.#positions.report(ranges, asked)',
    replace: 'this.#positions.report(ranges)',
    tests: DESTINATION,
  },
  {
    name: 'pull: older progress overwrites newer progress',
    file: 'src/state/sql/report-progress.sql',
    find: '    and p.reported_at <= coalesce($5::timestamptz, now())\n',
    replace: '',
    tests: DESTINATION,
  },
  {
    name: 'pull: a chunk reports that no records follow it',
    file: 'src/state/sql/move-position.sql',
    find: 'case when $6::bigint > $5::bigint then now() else reported_at end',
    replace: 'now()',
    tests: DESTINATION,
  },
  {
    name: 'pull: failed records of a chunk are skipped',
    file: CHANGES,
    find: "    for (const result of results) if (result.status === 'rejected') throw result.reason;\n",
    replace: '',
    tests: CHANGE,
  },
  {
    name: 'pull: records fetched after a stop are queued',
    file: 'src/intake/kafka/partition.ts',
    find: '    if (this.#stopped) return;\n    this.#waiting.push',
    replace: '    this.#waiting.push',
    tests: READER,
  },
  {
    name: 'pull: a reader that was paused at the semaphore takes a chunk',
    file: 'src/intake/kafka/partition.ts',
    find: '(this.#isHeld && chunk === null)',
    replace: 'false',
    tests: READER,
  },
  {
    name: 'pull: a retried chunk is dropped during a pause',
    file: 'src/intake/kafka/partition.ts',
    find: '(this.#isHeld && chunk === null)',
    replace: 'this.#isHeld',
    tests: READER,
  },
  {
    name: 'pull: the reported end of the log is before the chunk',
    file: 'src/intake/kafka/partition.ts',
    find: 'Math.max(fetched.end, fetched.next)',
    replace: 'fetched.end',
    tests: READER,
  },
  {
    name: 'pull: a full reader waits for more records',
    file: 'src/intake/kafka/partition.ts',
    find: '|| this.#isFull || this.#hasFullChunk()',
    replace: '|| this.#hasFullChunk()',
    tests: READER,
  },
  {
    name: 'pull: records that follow a fetch from a wrong offset are accepted',
    file: 'src/intake/kafka/owned-partition.ts',
    find: "    if (this.#isOff) return 'off';\n",
    replace: '',
    tests: OWNED,
  },
  {
    name: 'pull: records fetched from a wrong offset are accepted',
    file: 'src/intake/kafka/owned-partition.ts',
    find: 'Number(batch.fetchedOffset) !== this.#fetch',
    replace: 'false',
    tests: OWNED,
  },
  {
    name: 'pull: the timestamp of the record before the position is not checked',
    file: 'src/intake/kafka/owned-partition.ts',
    find: 'first.timestamp !== this.#lastTimestamp',
    replace: 'false',
    tests: OWNED,
  },
  {
    name: 'pull: the record before the position is applied',
    file: 'src/intake/kafka/owned-partition.ts',
    find: '      records.splice(0',
    replace: '      records.slice(0',
    tests: OWNED,
  },
  {
    name: 'pull: one mismatch is enough to restart the partition',
    file: 'src/intake/kafka/owned-partition.ts',
    find: 'doubt !== null && doubt === this.#doubt',
    replace: 'doubt !== null',
    tests: OWNED,
  },
  {
    name: 'pull: queued records are dropped to restart the partition',
    file: 'src/intake/kafka/owned-partition.ts',
    find: 'return isSure && isIdle',
    replace: 'return isSure',
    tests: OWNED,
  },
  {
    name: 'pull: records of a topic with another id are accepted',
    file: 'src/intake/kafka/owned-partition.ts',
    find: 'topicId !== null && this.topicId !== null && topicId !== this.topicId',
    replace: 'false',
    tests: OWNED,
  },
  {
    name: 'pull: the position of a stopped partition is moved',
    file: 'src/state/sql/move-position.sql',
    find: '\n  and problem is null',
    replace: '',
    tests: CHUNKS,
  },
  {
    name: 'pull: a partial chunk stores the timestamp of another record',
    file: 'src/state/projections/chunks.ts',
    find: 'record.offset === next - 1',
    replace: 'true',
    tests: CHUNKS,
  },
  {
    name: 'pull: records are recorded as lost at a position that has moved',
    file: 'src/state/sql/lose-records.sql',
    find: ' and next = $4::bigint',
    replace: '',
    tests: DESTINATION,
  },
  {
    name: 'pull: a process that did not record the loss reports it',
    file: PROJECTION,
    find: 'if (!(await this.#positions.lose(partition, next, low)))',
    replace: 'if ((await this.#positions.lose(partition, next, low)) === null)',
    tests: DESTINATION,
  },
  {
    name: 'pull: an outdated timestamp is compared behind lost records',
    file: 'src/state/sql/lose-records.sql',
    find: 'stamp = null, ',
    replace: '',
    tests: DESTINATION,
  },
  {
    name: 'pull: a partition that another process starts first fails',
    file: 'src/state/sql/begin-positions.sql',
    find: '  on conflict (function, topic, partition) do nothing\n',
    replace: '',
    tests: DESTINATION,
  },
  {
    name: 'pull: a progress report waits for chunks',
    file: 'src/state/sql/report-progress.sql',
    find: ' skip locked',
    replace: '',
    tests: DESTINATION,
  },
  {
    name: 'pull: the reported end of the log is before the position',
    file: 'src/state/sql/report-progress.sql',
    find: 'greatest(p.next, u.log_end)',
    replace: 'u.log_end',
    tests: DESTINATION,
  },
  {
    name: 'pull: a loss is recorded at a position that has moved',
    file: 'src/state/projections/positions.ts',
    find: 'and next = $4 and problem is null',
    replace: 'and $4 >= 0',
    tests: DESTINATION,
  },
];
