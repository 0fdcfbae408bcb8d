import type { Mutant } from './mutants.ts';

const INGEST_CHANGES = 'src/state/sql/ingest-changes.sql';
const CLAIM_RUNS = 'src/state/sql/claim-runs.sql';
const CLEAR_PARTS = 'src/state/sql/clear-parts.sql';
const FORGET_RUNS = 'src/state/sql/forget-runs.sql';
const PURGE_SETS = 'src/state/sql/purge-sets.sql';
const PURGE_TOMBSTONES = 'src/state/sql/purge-tombstones.sql';
const DROP_EMPTY_SETS = 'src/state/sql/drop-empty-sets.sql';
const LANES = 'src/state/registration/parts.ts';
const PURGE = 'src/state/purge.ts';
const TRUNCATE = 'src/state/ingest/truncate.ts';

const ROLLOUT = ['test/state/registration/rollout.test.ts'];
const ORDER = ['test/state/database/lock-order.test.ts'];
const PURGES = ['test/state/purge/purge.test.ts'];
const RACES = ['test/state/purge/races.test.ts'];
const DEADLINES = ['test/state/runs/deadlines.test.ts'];
const FORGET = ['test/state/purge/forget.test.ts'];
const LATE = ['test/state/ingest/late.test.ts'];
const REDELIVER = ['test/cli/redeliver.test.ts'];

/** Locks the rows of a table in descending order. */
const backwards = (name: string, file: string, find: string): Mutant => ({
  name: `${name} are locked in the wrong order`,
  file,
  find,
  replace: find.replace(/(\)[^)]*|\n)$/, ' desc$1'),
  tests: ORDER,
});
const SETS = 'order by s.function, s.key_hash\n';
const PAGE = '(select * from page order by key_hash)';

/** Guards of registration, truncates, the purge, deleting markers, and the commands that write. */
export const STATE_MUTANTS: readonly Mutant[] = [
  {
    name: 'a worker of an older definition claims runs',
    file: CLAIM_RUNS,
    find: 'where f.id = $1 and f.registration = $7::uuid and not',
    replace: 'where f.id = $1 and $7::uuid is not null and not',
    tests: ROLLOUT,
  },
  {
    name: 'a claim does not wait for a registration',
    file: CLAIM_RUNS,
    find: '  delete from muster.barrier -- see its comment in the schema',
    replace: '  select',
    tests: ROLLOUT,
  },
  {
    name: 'a worker of an older definition ingests a truncate',
    file: TRUNCATE,
    find: '    if (rowCount !== truncation.functions.length) return false;\n',
    replace: '    void rowCount;\n',
    tests: ROLLOUT,
  },
  {
    name: 'a truncate does not lock the definitions',
    file: TRUNCATE,
    find: 'order by f.id for key share of f',
    replace: 'order by f.id',
    tests: ROLLOUT,
  },
  {
    name: 'a worker of an older definition parks events',
    file: 'src/state/sql/park-events.sql',
    find: '  where (select is_current from current)\n',
    replace: '',
    tests: ROLLOUT,
  },
  {
    name: 'a worker with an outdated definition answers that an event is unwanted',
    file: 'src/state/ingest/change-ingestor.ts',
    find: '      await this.#current.check();\n',
    replace: '',
    tests: ROLLOUT,
  },
  {
    name: 'a check that started before the event arrived is reused for it',
    file: 'src/state/registration/current.ts',
    find: '    this.#next = null;\n',
    replace: '',
    tests: ROLLOUT,
  },
  {
    name: 'a function whose row was deleted counts as current',
    file: INGEST_CHANGES,
    find: 'select count(*) = cardinality($1::int[]) and not (select is_forgotten from forgotten) as is_current from definitions',
    replace: 'select not (select is_forgotten from forgotten) as is_current',
    tests: ROLLOUT,
  },
  {
    name: 'one registered function of two is enough',
    file: INGEST_CHANGES,
    find: 'select count(*) = cardinality($1::int[]) and not',
    replace: 'select count(*) > 0 and not',
    tests: ROLLOUT,
  },
  {
    name: 'a function is identified by its number alone',
    file: INGEST_CHANGES,
    find: 'on f.id = mine.id and f.registration = mine.registration',
    replace: 'on f.id = mine.id',
    tests: ROLLOUT,
  },
  {
    name: 'a function is purged by a definition that is not registered',
    file: PURGE,
    find: 'and registration = any ($3::uuid[])',
    replace: 'and $3::uuid[] is not null',
    tests: ROLLOUT,
  },
  {
    name: 'a restored part keeps its old rows',
    file: 'src/state/registration/register.ts',
    find: ' and p.in_use\n',
    replace: '\n',
    tests: ROLLOUT,
  },
  {
    name: 'a part index that still has rows is reassigned',
    file: LANES,
    find: '  for (const row of occupied) inUse.add(row.partIndex);\n',
    replace: '',
    tests: ['test/state/registration/register.test.ts'],
  },
  {
    name: 'a new part is not marked as unsynced',
    file: LANES,
    find: 'partSpecificationOf(part), generation > 0]',
    replace: 'partSpecificationOf(part), false]',
    tests: ROLLOUT,
  },
  {
    name: 'a part with additional columns is not marked as unsynced',
    file: LANES,
    find: '  await markExtended(client, stored, kept, specification);\n',
    replace: '',
    tests: ROLLOUT,
  },
  {
    name: 'a new part ignores an earlier truncate',
    file: LANES,
    find: "where t.function = $1 and p.specification ->> 'table' = $3",
    replace: "where false and t.function = $1 and p.specification ->> 'table' = $3",
    tests: ROLLOUT,
  },
  {
    name: 'a part with a different base64 setting keeps its index',
    file: LANES,
    find: 'JSON.stringify({ table: part.table, key, where, id, base64 })',
    replace: 'JSON.stringify({ table: part.table, key, where, id })',
    tests: ROLLOUT,
  },
  {
    name: 'parts in use are cleared',
    file: CLEAR_PARTS,
    find: 'where p.function = $1::int and not p.in_use\n',
    replace: 'where p.function = $1::int\n',
    tests: ROLLOUT,
  },
  {
    name: 'a forgotten set restarts with its first token',
    file: INGEST_CHANGES,
    find: '(definition).forgotten_token + begins::int',
    replace: 'begins::int',
    tests: FORGET,
  },
  {
    name: 'a forgotten set restarts with its first revision',
    file: INGEST_CHANGES,
    find: 'f.forgotten_revision + 1 as next_revision',
    replace: '1 as next_revision',
    tests: FORGET,
  },
  {
    name: 'done markers are deleted while a batch is running',
    file: PURGE,
    find: "    await client.query('lock table muster.barrier in share mode');\n",
    replace: '',
    tests: FORGET,
  },
  {
    name: 'a done marker is deleted although new runs could reuse its token',
    file: FORGET_RUNS,
    find: '    and s.token <= f.forgotten_token and s.revision <= f.forgotten_revision\n',
    replace: '',
    tests: FORGET,
  },
  {
    name: 'a done marker is deleted although its set exists',
    file: FORGET_RUNS,
    find: "s.state = 'done' and s.purged and not",
    replace: "s.state = 'done' and not",
    tests: FORGET,
  },
  {
    name: 'the purge deletes versions for which older changes may still arrive',
    file: PURGE_SETS,
    find: 'where l.newest < now() - make_interval(secs => $3::float8)',
    replace: 'where true',
    tests: PURGES,
  },
  {
    name: 'the purge uses the time a row joined its set',
    file: PURGE_SETS,
    find: 'greatest(m.since, to_timestamp(m.at / 1000.0)) as newest',
    replace: 'm.since as newest',
    tests: PURGES,
  },
  {
    name: 'a purged row is remembered from the time it joined its set',
    file: PURGE_SETS,
    find: 'trace = null, since = l.newest',
    replace: 'trace = null',
    tests: PURGES,
  },
  {
    name: 'a purged row loses the values that may fill the next version',
    file: PURGE_SETS,
    find: 'trace = null, since = l.newest',
    replace: 'trace = null, since = l.newest, columns = null, missing_columns = null',
    tests: PURGES,
  },
  {
    name: 'a set that is larger than a page is partially purged',
    file: PURGE,
    find: 'more ? touched - 1 : touched',
    replace: 'more ? touched : touched',
    tests: PURGES,
  },
  {
    name: 'sets of history are dropped as empty',
    file: DROP_EMPTY_SETS,
    find: 'and s.fresh = 0 and 0 = all (s.counts)',
    replace: 'and s.fresh = 0',
    tests: RACES,
  },
  {
    name: 'a set that was filled in the meantime is dropped as empty',
    file: DROP_EMPTY_SETS,
    find: ' and s.fresh = 0 and 0 = all (s.counts)',
    replace: '',
    tests: RACES,
  },
  {
    name: 'a tombstone that became a row in the meantime is purged',
    file: PURGE_TOMBSTONES,
    find: 'where not m.in_set and m.since',
    replace: 'where m.since',
    tests: RACES,
  },
  {
    name: 'a set that was emptied and refilled keeps its overdue mark',
    file: INGEST_CHANGES,
    find: '(c.complete <> c.was_complete or not c.was_fresh and c.fresh > 0)',
    replace: '(c.complete <> c.was_complete)',
    tests: ['test/state/runs/overdue.test.ts'],
  },
  {
    name: 'a run of a paused function is created leased',
    file: INGEST_CHANGES,
    find: 'and not (f.definition).paused and',
    replace: 'and',
    tests: LATE,
  },
  {
    name: 'late changes are counted once per statement',
    file: 'src/state/schema/migrations/002_functions.sql',
    find: 's.late := s.late + d.changes;',
    replace: 's.late := s.late + 1;',
    tests: LATE,
  },
  {
    name: 'a worker of another function accepts a redelivered event',
    file: 'src/intake/http/routes.ts',
    find: '  if (missing.length === 0) return;\n',
    replace: '  if (missing.length >= 0) return;\n',
    tests: REDELIVER,
  },
  {
    name: 'a parked event that was not ingested is deleted',
    file: 'src/cli/post.ts',
    find: "(status === 200 || status === 204) && outcome === 'ingested'",
    replace: '(status === 200 || status === 204) && outcome !== undefined',
    tests: REDELIVER,
  },
  {
    name: 'a run that started in the meantime is retried',
    file: 'src/state/sql/retry-failed.sql',
    find: " and s.state = 'failed' and s.token = page.token\n",
    replace: '\n',
    tests: ORDER,
  },
  {
    name: 'a run that started in the meantime is discarded',
    file: 'src/state/sql/discard-runs.sql',
    find: " and s.state = 'failed' and s.token = page.token\n",
    replace: '\n',
    tests: ORDER,
  },
  {
    name: 'a run that started in the meantime is made due',
    file: 'src/state/sql/retry-now.sql',
    find: 'from removed\n  where s.function',
    replace: 'from locked removed\n  where s.function',
    tests: ORDER,
  },
  {
    name: 'a set whose run is running is reported as overdue',
    file: 'src/state/sql/fire-deadlines.sql',
    find: 'from due where at <= now() and not running\n',
    replace: 'from due where at <= now()\n',
    tests: DEADLINES,
  },
  {
    name: 'a set that is done is reported as overdue',
    file: 'src/state/sql/fire-deadlines.sql',
    find: "    and s.state is distinct from 'done'\n",
    replace: '',
    tests: DEADLINES,
  },
  {
    name: 'a complete set is reported as overdue',
    file: 'src/state/sql/fire-deadlines.sql',
    find: '    and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)\n',
    replace: '',
    tests: DEADLINES,
  },
  {
    name: 'failed sets are purged',
    file: 'src/state/sql/page-done-sets.sql',
    find: "s.state = 'done' and s.finished_at",
    replace: 's.finished_at',
    tests: PURGES,
  },
  {
    name: 'the purge withdraws the run of a complete set',
    file: 'src/state/sql/clear-sets.sql',
    find: 'set complete = s.complete and muster.complete(s.counts, f.need, f.gate_need, f.gate_of),',
    replace: 'set complete = false,',
    tests: RACES,
  },
  {
    name: 'the error of a discarded set stays if its rows were deleted before',
    file: 'src/state/sql/clear-sets.sql',
    find: 'error = case when muster.complete(',
    replace: 'error = case when not s.complete or muster.complete(',
    tests: PURGES,
  },
  {
    name: 'unsent events are purged',
    file: 'src/state/sql/clear-sets.sql',
    find: ' and o.sent_at is not null\n',
    replace: '\n',
    tests: PURGES,
  },
  {
    name: 'two processes purge at the same time',
    file: PURGE,
    find: '    if (!rows[0]!.mine) return purged;\n',
    replace: '',
    tests: PURGES,
  },
  backwards('sets', INGEST_CHANGES, 'proposed\n  order by function, key_hash\n'),
  backwards('sets of deadlines', 'src/state/sql/lock-sets.sql', SETS),
  backwards('retried runs', 'src/state/sql/retry-failed.sql', PAGE),
  backwards('runs made due', 'src/state/sql/retry-now.sql', PAGE),
  backwards('discarded runs', 'src/state/sql/discard-runs.sql', PAGE),
  backwards('forgotten runs', FORGET_RUNS, PAGE),
  backwards('empty sets', DROP_EMPTY_SETS, 'order by key_hash)'),
  backwards('purged sets', PURGE_SETS, 'order by key_hash)'),
  backwards('purged rows', PURGE_SETS, 'order by part_index, source, id)'),
  backwards(
    'purged tombstones',
    PURGE_TOMBSTONES,
    'order by m.function, m.part_index, m.source, m.id\n',
  ),
  backwards('sets of a part that is gone', CLEAR_PARTS, 'order by key_hash)'),
  {
    name: 'parked events are deleted before their age',
    file: 'src/state/sql/purge-parked.sql',
    find: ' and page.parked_at < now() - make_interval(secs => $1::float8)',
    replace: '',
    tests: ['test/state/purge/parked.test.ts'],
  },
];
