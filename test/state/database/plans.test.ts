import { readdirSync } from 'node:fs';
import type pg from 'pg';
import { expect } from 'vitest';
import { finishing, PIN_PLANS } from '../../../src/state/runs/runs.ts';
import { sql } from '../../../src/state/sql.ts';
import { leaseOf } from '../../support/leases.ts';
import { pairOf } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { test, type TestDatabase } from '../../support/test.ts';

const BIG = ['member', 'sets', 'queue', 'deadline', 'overdue', 'outbox'];
const names = readdirSync(new URL('../../../src/state/sql/', import.meta.url)).map((file) =>
  file.replace('.sql', ''),
);
/** Indexes that a statement may scan; everywhere else rows are looked up by key or id. */
const WALKS: Record<string, string[]> = {
  'reap-workers': ['outbox_taken'],
  'claim-outbox': ['outbox_due'],
  'claim-runs': ['queue_pkey', 'queue_suspect'],
  'clear-parts': ['member_pkey'],
  'discard-runs': ['queue_pkey'],
  'any-deadline': ['deadline_due'],
  'discard-events': ['outbox_failed'],
  'due-deadlines': ['deadline_due'],
  'list-sets': ['sets_pkey'], // for operators: the order is known only once all sets are read
  'new-deadlines': ['deadline_new'],
  'purge-failures': ['queue_pkey'], // failed runs
  'purge-parked': ['parked_pkey'],
  'purge-tombstones': ['member_gone'],
  'resend-events': ['outbox_failed'],
  'retry-failed': ['queue_pkey'],
  'retry-now': ['queue_pkey'],
};

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  Alias?: string;
  'Index Name'?: string;
  'Index Cond'?: string;
  Plans?: Plan[];
}

/** Plans that are made when the tables are still empty are used until autovacuum analyzes them. */
for (const tables of ['empty tables', 'tables without statistics', 'analyzed tables']) {
  test(`on ${tables}, no statement scans a large table or uses a hash or merge join`, async ({
    db,
  }) => {
    if (tables !== 'empty tables') await load(db, tables === 'analyzed tables');
    const worker = await workerOn(db, [pairOf()], { writers: 1 });
    const found: string[] = [];
    for (const name of names) {
      const pool = name === 'ingest-changes' || name === 'known-members' ? 'writers' : 'control';
      found.push(...flaws(name, await planOf(worker.database[pool], name)));
    }
    // sent by a handler that writes, on its own connection
    found.push(
      ...flaws('finish-run of a handler', await planOf(worker.database.handlers, 'finish-run')),
    );
    const pinned = await planOf(worker.database.handlers, 'finish-runs', PIN_PLANS.text);
    found.push(...flaws('finish-runs of a handler', pinned));
    expect(found).toEqual([]);
  }, 60_000);
}

test('plans are pinned for the statement that marks several sets of a handler done, and only for that', async ({
  db,
}) => {
  const { database } = await workerOn(db, [pairOf()]);
  const client = await database.handlers.connect();
  const modes = async () =>
    (
      await client.query(
        `select current_setting('plan_cache_mode') as mode, current_setting('enable_seqscan') as scan`,
      )
    ).rows[0];
  await client.query('begin');
  await client.query(PIN_PLANS);
  expect(await modes()).toEqual({ mode: 'force_generic_plan', scan: 'off' });
  await client.query('commit');
  expect(await modes()).toEqual({ mode: 'auto', scan: 'on' });
  client.release();
  const run = { lease: leaseOf('x'), events: [] };
  expect(finishing([run, run])[0]).toBe(PIN_PLANS);
});

/** Creates 20,000 sets of two rows: a tenth waits, a tenth is due, the rest is done. */
async function load(db: TestDatabase, analyzed: boolean): Promise<void> {
  for (const table of BIG) {
    await db.query(`alter table muster.${table} set (autovacuum_enabled = false)`);
  }
  await db.query(`
    insert into muster.member (function, part_index, source, id, version, at, key_hash, in_set, columns, since)
    select 1, part_index, 1, 'row' || i, i, i, muster.key_hash('set' || i), true, '{"id": 1}', now()
    from generate_series(1, 20000) i, generate_series(1, 2) part_index where i % 10 > 0 or part_index = 1`);
  await db.query(`
    insert into muster.sets (function, key_hash, key, counts, fresh, complete, revision, state, token, attempt, due_at, completed_at, finished_at)
    select 1, muster.key_hash('set' || i), 'set' || i, array[1, (i % 10 > 0)::int], 2, i % 10 > 0, (i % 10 > 0)::int,
           case i % 10 when 0 then null when 1 then 'pending' else 'done' end::muster.run_state, 1, 1, now(), now(), now()
    from generate_series(1, 20000) i`);
  await db.query(`
    insert into muster.queue (function, due_at, token, key_hash, is_suspect)
    select function, due_at, token, key_hash, false from muster.sets where state = 'pending'`);
  await db.query(`
    insert into muster.deadline (function, due_at, pruned, keys)
    select 1, now() + interval '1 hour', i % 100 > 0, array[muster.key_hash('set' || i)] from generate_series(1, 20000) i`);
  await db.query(`
    insert into muster.overdue (function, key_hash, due_at) select 1, muster.key_hash('set' || i), now() from generate_series(1, 20000) i where i % 10 = 0`);
  await db.query(`
    insert into muster.outbox (function, key, event_id, type, subject, sent_at)
    select 1, 'set' || i, i::text, 't', 's', case when i % 10 > 1 then now() end from generate_series(1, 20000) i`);
  if (analyzed) await db.query('vacuum analyze');
}

/** The plan of the prepared statement of that name on a connection of this pool. */
async function planOf(pool: pg.Pool, name: string, before = ''): Promise<Plan> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    if (before !== '') await client.query(before);
    const { text } = sql(name);
    const parameters = Math.max(0, ...[...text.matchAll(/\$(\d+)/g)].map(([, n]) => Number(n)));
    await client.query(`prepare planned as ${text}`);
    const values = Array.from({ length: parameters }, () => 'null').join(', ');
    const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      `explain (format json) execute planned${parameters === 0 ? '' : ` (${values})`}`,
    );
    await client.query('deallocate planned');
    await client.query('rollback');
    return rows[0]!['QUERY PLAN'][0].Plan;
  } finally {
    client.release();
  }
}

function flaws(name: string, plan: Plan): string[] {
  const { 'Node Type': node, 'Relation Name': relation, 'Index Name': index } = plan;
  const found = (plan.Plans ?? []).flatMap((each) => flaws(name, each));
  if (/^(Hash|Merge) Join$/.test(node)) found.push(`${name}: ${node}`);
  if (relation === undefined || !BIG.includes(relation) || node === 'ModifyTable') return found;
  const walk = plan.Alias !== 'lower' && (WALKS[name]?.includes(index ?? '') ?? false);
  if (!walk && node !== 'Tid Scan' && !/\b(key|key_hash|id) [=>]/.test(plan['Index Cond'] ?? '')) {
    found.push(`${name}: ${node} of ${relation} by ${index}, ${plan['Index Cond']}`);
  }
  return found;
}
