/** A guard taken away: `find` stands once in `file` and is replaced; one of the tests must notice. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** The test files to run, fastest first. */
  readonly tests: readonly string[];
}

const INGEST_CHANGES = 'src/state/sql/ingest-changes.sql';
const STATE = 'src/state/schema/migrations/002_functions.sql';
const BATCHER = 'src/state/ingest/batcher.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'no fence: the done-mark does not check the token',
    file: 'src/state/sql/finish-runs.sql',
    find: "    and s.token = mine.token and s.state = 'pending'\n",
    replace: '',
    tests: ['test/runs/fence.test.ts'],
  },
  {
    name: 'no fence: the done-mark accepts any token of a running run',
    file: 'src/state/sql/finish-runs.sql',
    find: "and s.token = mine.token and s.state = 'pending'",
    replace: "and s.state = 'pending'",
    tests: ['test/runs/fence.test.ts'],
  },
  {
    name: "no fence: a handler's writes commit although its run was lost",
    file: 'src/state/sql/finish-run.sql',
    find: 'muster.fence(false) where not exists (select from done)',
    replace: 'muster.fence(true)',
    tests: ['test/runs/fence.test.ts'],
  },
  {
    name: "no fence: the done-mark with a handler's writes accepts an older token",
    file: 'src/state/sql/finish-run.sql',
    find: 'and token = $3 and',
    replace: 'and token >= $3 and',
    tests: ['test/runs/fence.test.ts'],
  },
  {
    name: 'a key that was not sent ignores an older change that arrives later',
    file: 'src/state/ingest/change-ingestor.ts',
    find: '      ? this.#ingestUnresolved(change, place, functions)\n',
    replace: "      ? { kind: 'ingested' }\n",
    tests: ['test/state/ingest/resolve.test.ts'],
  },
  {
    name: 'members are locked in arbitrary order',
    file: INGEST_CHANGES,
    find: '  order by c.function, c.part_index, c.source, c.id collate "C"\n',
    replace: '',
    tests: ['test/state/ingest/races.test.ts'],
  },
  {
    name: 'a stale change overwrites a newer one',
    file: INGEST_CHANGES,
    find: 'where muster.newer(excluded.version, excluded.at, excluded.commits, m.version, m.at, m.commits)',
    replace: 'where true',
    tests: ['test/state/ingest/revive.test.ts'],
  },
  {
    name: 'versions are not compared',
    file: STATE,
    find: '  if not muster.newer(b.version, b.at, b.commits, a.version, a.at, a.commits)\n',
    replace: '  if false\n',
    tests: ['test/state/ingest/arrival.test.ts', 'test/state/model.test.ts'],
  },
  {
    name: 'the older version wins',
    file: STATE,
    find: 'then a_version > b_version',
    replace: 'then a_version < b_version',
    tests: ['test/state/ingest/newer.test.ts'],
  },
  {
    name: 'an event is answered before its commit',
    file: BATCHER,
    find: "      failpoint('before-commit');\n",
    replace:
      "      for (const item of batch) item.resolve({ kind: 'ingested' });\n      failpoint('before-commit');\n",
    tests: ['test/chaos/faults.test.ts'],
  },
  {
    name: 'runs of living pods are freed',
    file: 'src/state/sql/reap-workers.sql',
    find: 'where w.id = l.worker and w.lease_until >= now()',
    replace: 'where false',
    tests: ['test/runs/leases.test.ts'],
  },
  {
    name: 'runs of dead pods are not freed',
    file: 'src/state/sql/reap-workers.sql',
    find: " and s.token = runs.token and s.state = 'pending'\n    for update",
    replace: ' and false\n    for update',
    tests: ['test/runs/leases.test.ts'],
  },
  {
    name: 'no re-arm: a failed run stays failed although its set changes',
    file: STATE,
    find: '    s.was_failed := s.complete and (d.changes > 0 or not s.was_complete);',
    replace: '    s.was_failed := false;',
    tests: ['test/state/ingest/revive.test.ts'],
  },
  {
    name: 'no re-arm: a set that is complete again stays incomplete',
    file: STATE,
    find: '  s.complete := muster.complete(s.counts, f.need, f.gate_need, f.gate_of);',
    replace:
      '  s.complete := (s.complete or s.state is null) and muster.complete(s.counts, f.need, f.gate_need, f.gate_of);',
    tests: ['test/state/ingest/revive.test.ts'],
  },
  {
    name: 'a run of an incomplete set is claimed',
    file: 'src/state/sql/claim-runs.sql',
    find: 'from looked where is_current and complete\n',
    replace: 'from looked where is_current\n',
    tests: ['test/state/ingest/revive.test.ts', 'test/state/model.test.ts'],
  },
  {
    name: "the handler's writes commit without the done-mark",
    file: 'src/state/database/handler-tx.ts',
    find: 'i === last ? commitWith(client, each) : client.query(each)',
    replace: "i === last ? commitWith(client, { text: 'select' }) : client.query('select')",
    tests: ['test/runs/fence.test.ts'],
  },
  {
    name: 'poison is not cut out of its batch',
    file: BATCHER,
    find: 'if (isBadValue(error)) await this.#divide(batch, error as Error);\n      else ',
    replace: '',
    tests: ['test/state/ingest/poison.test.ts'],
  },
  {
    name: 'a delete of an unknown row leaves no tombstone',
    file: INGEST_CHANGES,
    find: 'where (select is_current from current)\n  order by',
    replace:
      'where (select is_current from current) and (c.key is not null or exists (select from muster.member o where o.function = c.function and o.part_index = c.part_index and o.id = c.id))\n  order by',
    tests: ['test/state/ingest/arrival.test.ts'],
  },
  {
    name: 'a deadline fires although the set is complete',
    file: 'src/state/sql/fire-deadlines.sql',
    find: 'and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)',
    replace: '',
    tests: ['test/state/runs/deadlines.test.ts'],
  },
  {
    name: 'a deadline fires repeatedly',
    file: 'src/state/sql/fire-deadlines.sql',
    find: 'delete from muster.deadline where id = any ($1::bigint[])',
    replace: 'delete from muster.deadline where false',
    tests: ['test/state/runs/deadlines.test.ts'],
  },
  {
    name: 'a superseded definition still ingests',
    file: INGEST_CHANGES,
    find: 'select count(*) = cardinality($1::int[]) and not',
    replace: 'select count(*) >= 0 and not',
    tests: ['test/state/registration/register.test.ts'],
  },
  {
    name: 'completeness is read by a SELECT, not from the locked row',
    file: 'src/state/sql/ingest-changes.sql',
    find: 'muster.plus(s.counts, excluded.counts) as counts',
    replace:
      "muster.plus(coalesce((select o.counts from muster.sets o where o.function = s.function and o.key_hash = s.key_hash), '{}'), excluded.counts) as counts",
    tests: ['test/state/ingest/races.test.ts'],
  },
  {
    name: 'the purge forgets the done marker',
    file: 'src/state/purge.ts',
    find: 'await client.query({ ...CLEAR_SETS, values: [functionId, touched, finished] });',
    replace: `await client.query({ ...CLEAR_SETS, values: [functionId, touched, finished] });
    await client.query('delete from muster.sets where key_hash = any ($1::uuid[])', [finished]);`,
    tests: ['test/state/purge/purge.test.ts'],
  },
  {
    name: 'an outage of the database parks the event',
    file: 'src/state/database/database.ts',
    find: "/^(21|22|23|54)/.test(sqlState(error) ?? '');",
    replace: 'error instanceof Error;',
    tests: ['test/chaos/faults.test.ts'],
  },
  {
    name: 'fields of log lines are not filtered',
    file: 'src/telemetry/log.ts',
    find: 'if (FIELDS.has(name)) kept[name] = value;',
    replace: 'if (true) kept[name] = value;',
    tests: ['test/telemetry/log.test.ts'],
  },
  {
    name: "a handler's log line contains a row",
    file: 'src/telemetry/log.ts',
    find: 'return [name, isScalar ? value : `(${typeof value})`];',
    replace: 'return [name, value];',
    tests: ['test/telemetry/privacy.test.ts'],
  },
  {
    name: 'spans are not flushed before the process exits',
    file: 'src/process/service.ts',
    find: '      (each) => each?.stop(),\n',
    replace: '      () => {},\n',
    tests: ['test/telemetry/spans.test.ts'],
  },
  {
    name: 'a chunk is applied at any position',
    file: 'src/state/sql/move-position.sql',
    find: ' and next = $4::bigint\n',
    replace: ' and $4::bigint is not null\n',
    tests: ['test/state/projections/chunks.test.ts'],
  },
  {
    name: 'a stopped partition is read further',
    file: 'src/state/sql/move-position.sql',
    find: '  and problem is null',
    replace: '',
    tests: ['test/cli/projection.test.ts'],
  },
  {
    name: 'the writes of a chunk at the wrong position are committed',
    file: 'src/state/projections/chunks.ts',
    find: 'if (moved.rowCount === 0) return false;',
    replace: '',
    tests: ['test/state/projections/chunks.test.ts'],
  },
  {
    name: 'several processes settle a projection at once',
    file: 'src/process/settle-projection.ts',
    find: 'if (!held) return false;',
    replace: '',
    tests: ['test/state/projections/chunks.test.ts'],
  },
  {
    name: 'a retried chunk grows',
    file: 'src/intake/kafka/partition.ts',
    find: 'chunk ??= this.#cut();',
    replace: 'chunk = this.#cut();',
    tests: ['test/intake/kafka/partition.test.ts'],
  },
];
