import { expect } from 'vitest';
import { pairOf } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { test, type TestDatabase } from '../../support/test.ts';

const NOTHING = { runs: 0, deadlines: 0, events: 0, evaluations: 0, total: 0 };

async function due(db: TestDatabase, fn = 'pair') {
  const rows = await db.query(
    'select runs, deadlines, events, evaluations, total from muster.due where function = $1',
    [fn],
  );
  expect(rows).toHaveLength(1);
  return rows[0];
}

/** Registers functions with the ids 1, 2, … */
async function registered(db: TestDatabase, ...definitions: ReturnType<typeof pairOf>[]) {
  await workerOn(db, definitions.length > 0 ? definitions : [pairOf()]);
}

async function runs(db: TestDatabase, fn: number, state: string, n = 1, more = 'now(), true') {
  await db.query(
    `insert into muster.run (function, key, revision, state, token, attempt, worker, created_at, due_at, complete)
     select $1, $2 || i || clock_timestamp(), 1, $2, 1, 1,
            case when $2 = 'running' then gen_random_uuid() end, now(), ${more}
     from generate_series(1, $3) i`,
    [fn, state, n],
  );
}

test('a function with nothing to do has a row of zeros, an unregistered one has none', async ({
  db,
}) => {
  await registered(db);
  expect(await due(db)).toEqual(NOTHING);
  expect(await db.query(`select from muster.due where function = 'other'`)).toEqual([]);
});

test('due and running runs count, even without a live worker', async ({ db }) => {
  await registered(db);
  await runs(db, 1, 'ready', 3);
  await runs(db, 1, 'running', 2); // of workers that are not there
  expect(await due(db)).toEqual({ ...NOTHING, runs: 5, total: 5 });
});

test('failed and done runs, and those in back-off, do not count', async ({ db }) => {
  await registered(db);
  await runs(db, 1, 'failed');
  await runs(db, 1, 'done');
  await runs(db, 1, 'ready', 1, `now() + interval '1 minute', true`);
  expect(await due(db)).toEqual(NOTHING);
});

test('a run whose set has become incomplete counts until the next claim drops it', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await runs(db, 1, 'ready', 1, 'now(), false');
  expect(await due(db)).toEqual({ ...NOTHING, runs: 1, total: 1 });
  expect(await worker.runs.claim(1, worker.id, 10)).toEqual([]);
  expect(await due(db)).toEqual(NOTHING);
});

test('only the running runs of a paused function count', async ({ db }) => {
  await registered(db);
  await runs(db, 1, 'ready', 3);
  await runs(db, 1, 'running', 2);
  await db.query('update muster.function set paused = true');
  expect(await due(db)).toEqual({ ...NOTHING, runs: 2, total: 2 });
});

test('a concurrency limit bounds the pods that are kept for its runs', async ({ db }) => {
  await registered(db, pairOf({ concurrency: 4 }));
  await runs(db, 1, 'running', 3);
  expect(await due(db)).toEqual({ ...NOTHING, runs: 3, total: 3 });
  await runs(db, 1, 'ready', 100);
  expect(await due(db)).toEqual({ ...NOTHING, runs: 4, total: 4 });
});

test('a backlog counts as 10,000 runs at most', async ({ db }) => {
  await registered(db);
  await fillSets(db, 'ready', 10_050);
  await runs(db, 1, 'running', 10);
  expect(await due(db)).toEqual({ ...NOTHING, runs: 10_000, total: 10_000 });
});

test('deadlines count once, as soon as one is due', async ({ db }) => {
  await registered(db);
  const remind = 'insert into muster.deadline (function, keys, due_at) select 1,';
  await db.query(`${remind} array[muster.key_hash('later')], now() + interval '1 minute'`);
  expect(await due(db)).toEqual(NOTHING);
  await db.query(`${remind} array[muster.key_hash(i::text)], now() from generate_series(1, 9) i`);
  expect(await due(db)).toEqual({ ...NOTHING, deadlines: 1, total: 1 });
});

test('events count once, as soon as one is due', async ({ db }) => {
  await registered(db);
  const event = `insert into muster.outbox (function, key, event_id, type, subject, sent_at, failed_at, due_at)
    select 1, 'x', 'id', 't', 's'`;
  await db.query(`${event}, now(), null, now()`);
  await db.query(`${event}, null, now(), now()`);
  await db.query(`${event}, null, null, now() + interval '1 minute'`);
  expect(await due(db)).toEqual(NOTHING);
  await db.query(`${event}, null, null, now() from generate_series(1, 9)`);
  expect(await due(db)).toEqual({ ...NOTHING, events: 1, total: 1 });
});

test('sets that await re-evaluation keep a pod up', async ({ db }) => {
  await registered(db);
  await registered(db, pairOf({ overdueAfter: '1 minute' }));
  expect(await due(db)).toEqual({ ...NOTHING, evaluations: 1, total: 1 });
});

test('the work of one function does not count for another', async ({ db }) => {
  await registered(db, pairOf(), pairOf({ name: 'other' }));
  await runs(db, 2, 'ready', 2);
  await runs(db, 2, 'running', 3);
  await db.query(
    `insert into muster.deadline (function, keys, due_at) values (2, array[muster.key_hash('due')], now())`,
  );
  expect(await due(db)).toEqual(NOTHING);
  expect(await due(db, 'other')).toEqual({ ...NOTHING, runs: 5, deadlines: 1, total: 6 });
});

/** Statistics of the planner: none, accurate ones, or those of a busy hour. */
const STATISTICS: Record<string, (db: TestDatabase) => Promise<void>> = {
  none: (db) => fill(db, 'done'),
  right: async (db) => {
    await fill(db, 'done');
    await db.query('vacuum analyze');
  },
  'of a busy hour': async (db) => {
    await fill(db, 'ready');
    await db.query('analyze');
    await db.query(`update muster.sets set state = 'done'`);
    await db.query('delete from muster.queue');
    await db.query(`update muster.deadline set due_at = now() + interval '1 hour'`);
    await db.query('update muster.outbox set sent_at = now()');
    await db.query('vacuum');
  },
};

test.for(Object.keys(STATISTICS))(
  'asked on a connection that pins no plan, with statistics %s, it reads a few pages of indexes',
  { timeout: 60_000 },
  async (statistics, { db }) => {
    await registered(db);
    for (const table of ['sets', 'queue', 'lease', 'deadline', 'outbox']) {
      await db.query(`alter table muster.${table} set (autovacuum_enabled = false)`);
    }
    await STATISTICS[statistics]!(db);
    const ask = `select coalesce(max(total), 0) from muster.due where function = 'pair'`;
    const [row] = await db.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      `explain (analyze, buffers, format json) ${ask}`,
    );
    const plan = row!['QUERY PLAN'][0].Plan;
    // before its first migration a function has no row, which KEDA would treat as a failure
    expect(await db.query(ask.replace('pair', 'nobody'))).toEqual([{ coalesce: 0 }]);
    const scans = scansOf(plan).filter(({ relation }) => relation !== 'function');
    // the queue and the leases may be read as a whole where they are empty
    const allowed = [
      'outbox_due',
      'queue_pkey',
      'deadline_due',
      'sets_pkey',
      'all of lease',
      'all of queue',
    ];
    expect(scans.map(({ index }) => index).filter((index) => !allowed.includes(index!))).toEqual(
      [],
    );
    expect(plan['Shared Hit Blocks'] + plan['Shared Read Blocks']).toBeLessThan(100);
  },
);

/** Creates 40,000 sets that are done, or that all wait for a worker. */
async function fill(db: TestDatabase, state: 'done' | 'ready'): Promise<void> {
  const past = state === 'done' ? 'now()' : 'null';
  await fillSets(db, state, 40_000);
  await runs(db, 1, 'running', 20);
  await db.query(
    `insert into muster.deadline (function, keys, due_at)
     select 1, array[muster.key_hash('set' || i)], now() + case when $1 = 'done' then interval '1 hour' else '0' end
     from generate_series(1, 40000) i`,
    [state],
  );
  await db.query(
    `insert into muster.outbox (function, key, event_id, type, subject, sent_at)
     select 1, 'set' || i, i::text, 't', 's', ${past} from generate_series(1, 40000) i`,
  );
}

/**
 * Writes runs as `runs` does, with three statements instead of a trigger per row, which takes ten times as long. A set is
 * inserted and then updated there too, so the tables have the same dead rows.
 */
async function fillSets(db: TestDatabase, state: 'done' | 'ready', n: number): Promise<void> {
  await db.query(
    `insert into muster.sets (function, key_hash, key, counts, fresh, complete)
     select 1, muster.key_hash(key), key, array_fill(0, array[16]), 0, false
     from generate_series(1, $2::int) i, lateral (select $1 || i || clock_timestamp() as key) k`,
    [state, n],
  );
  await db.query(
    `update muster.sets
     set revision = 1, complete = true, token = 1 + ($1 = 'ready')::int, attempt = 1, completed_at = now(),
         state = case $1 when 'ready' then 'pending' else 'done' end::muster.run_state,
         due_at = case when $1 = 'ready' then now() end`,
    [state],
  );
  if (state === 'ready') {
    await db.query(
      `insert into muster.queue (function, due_at, token, key_hash, is_suspect)
       select function, due_at, token, key_hash, false from muster.sets`,
    );
  }
}

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  Plans?: Plan[];
}

/** The tables and indexes that a plan reads; the index of a bitmap is in a node of its own. */
function scansOf(plan: Plan): { relation: string | undefined; index: string | undefined }[] {
  const below = (plan.Plans ?? []).flatMap(scansOf);
  const { 'Node Type': node, 'Relation Name': relation, 'Index Name': index } = plan;
  if (node === 'Bitmap Heap Scan' || (relation ?? index) === undefined) return below;
  return [{ relation, index: index ?? `all of ${relation}` }, ...below];
}
