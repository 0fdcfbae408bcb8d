import { milliseconds } from '../lib/duration.ts';
import type { FunctionDefinition } from '../function.ts';
import { transaction, type Database } from './database/database.ts';
import { clearParts } from './registration/parts.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { FIRST_HASH } from './key-hash.ts';
import { sql } from './sql.ts';

const PAGE_DONE_SETS = sql('page-done-sets');
const PURGE_SETS = sql('purge-sets');
const CLEAR_SETS = sql('clear-sets');
const DROP_EMPTY_SETS = sql('drop-empty-sets');
const PURGE_TOMBSTONES = sql('purge-tombstones');
const PURGE_FAILURES = sql('purge-failures');
const FORGETTABLE_RUNS = sql('forgettable-runs');
const FORGET_RUNS = sql('forget-runs');

/** Number of sets, runs or tombstones per statement. */
const PAGE = 500;
/** Rows of done sets deleted per transaction, so that even the locks of a large set are short. */
const ROWS = 2_000;
/** Advisory lock of the process that purges. */
const LOCK = 0x70757267;

export interface PurgeOptions {
  /** Time to keep versions and tombstones, after which no older change can arrive. */
  readonly tombstoneSeconds: number;
  /** Functions that were purged within this time are skipped; 0 by default. */
  readonly everySeconds?: number;
  readonly stopped?: () => boolean;
}

/** What one pass removed. */
export interface Purged {
  sets: number;
  members: number;
}

/**
 * Deletes what is no longer needed, one page and one short transaction at a time: rows, events and details of
 * sets that were done longer than `keepFor` ago; versions and tombstones older than the retention of the topic;
 * runs that are done after `forgetAfter`, if given. Only one process purges at a time; the others find the lock
 * taken. Stops between two pages when `stopped` returns true; the next pass continues.
 */
export async function purge(
  database: Database,
  functions: readonly {
    readonly definition: FunctionDefinition;
    readonly served: RegisteredFunction;
  }[],
  options: PurgeOptions,
): Promise<Purged> {
  const purged: Purged = { sets: 0, members: 0 };
  const client = await database.control.connect();
  let broken: Error | undefined;
  try {
    const { rows } = await client.query<{ mine: boolean }>(
      'select pg_try_advisory_lock($1) as mine',
      [LOCK],
    );
    if (!rows[0]!.mine) return purged;
    for (const each of await due(database, functions, options.everySeconds ?? 0)) {
      await purgeFunction(database, each, options, purged);
    }
    await client.query('select pg_advisory_unlock($1)', [LOCK]);
    return purged;
  } catch (error) {
    broken = error as Error; // the lock ends with its session
    throw error;
  } finally {
    client.release(broken);
  }
}

/**
 * Returns the functions that have not been purged for a while: processes that start and stop with the load must
 * not each read all sets. The registration must match, too: in a database that was recreated, the id may belong
 * to another function, whose sets are kept longer.
 */
async function due<T extends { readonly served: RegisteredFunction }>(
  database: Database,
  functions: readonly T[],
  everySeconds: number,
): Promise<T[]> {
  const { rows } = await database.control.query<{ id: number }>(
    `select id from muster.function
     where id = any ($1) and registration = any ($3::uuid[])
       and (purged_at is null or purged_at <= now() - make_interval(secs => $2::float8))`,
    [
      functions.map(({ served }) => served.id),
      everySeconds,
      functions.map(({ served }) => served.registration),
    ],
  );
  return functions.filter(({ served }) => rows.some((row) => row.id === served.id));
}

async function purgeFunction(
  database: Database,
  {
    definition,
    served,
  }: { readonly definition: FunctionDefinition; readonly served: RegisteredFunction },
  options: PurgeOptions,
  purged: Purged,
): Promise<void> {
  const stopped = options.stopped ?? (() => false);
  purged.members += await clearParts(database, served.id, stopped);
  const keepSeconds = milliseconds(definition.keepFor ?? '30 days') / 1000;
  await purgeSets(database, served.id, keepSeconds, options.tombstoneSeconds, purged, stopped);
  if (definition.forgetAfter !== undefined) {
    await forgetRuns(database, served.id, milliseconds(definition.forgetAfter) / 1000, stopped);
  }
  await database.control.query({ ...PURGE_FAILURES, values: [served.id] });
  for (let removed = PAGE; removed === PAGE && !stopped();) {
    const result = await database.control.query({
      ...PURGE_TOMBSTONES,
      values: [served.id, options.tombstoneSeconds, PAGE],
    });
    removed = result.rowCount ?? 0;
    purged.members += removed;
  }
  if (stopped()) return;
  await database.control.query('update muster.function set purged_at = now() where id = $1', [
    served.id,
  ]);
}

async function purgeSets(
  database: Database,
  functionId: number,
  keepSeconds: number,
  tombstoneSeconds: number,
  purged: Purged,
  stopped: () => boolean,
): Promise<void> {
  for (let after = FIRST_HASH; !stopped();) {
    const { rows } = await database.control.query<{
      keyHash: string;
      old: boolean;
      empty: boolean;
    }>({
      ...PAGE_DONE_SETS,
      values: [functionId, after, keepSeconds, PAGE],
    });
    const keys = rows.filter((row) => row.old).map((row) => row.keyHash);
    const empty = rows.filter((row) => row.empty).map((row) => row.keyHash);
    if (empty.length > 0) {
      await database.control.query({ ...DROP_EMPTY_SETS, values: [functionId, empty] });
    }
    for (let rest = keys; rest.length > 0 && !stopped();) {
      const { members, more, touched } = await purgeRows(
        database,
        functionId,
        rest,
        tombstoneSeconds,
      );
      // the last set of a full page may have further rows
      const finished = more ? touched - 1 : touched;
      purged.sets += finished;
      purged.members += members;
      rest = rest.slice(finished);
    }
    if (rows.length < PAGE) return;
    after = rows.at(-1)!.keyHash;
  }
}

interface PurgedPage {
  readonly members: number;
  /** Whether these sets may have further rows. */
  readonly more: boolean;
  /** Number of sets, from the first on, whose rows were removed. */
  readonly touched: number;
}

async function purgeRows(
  database: Database,
  functionId: number,
  keys: readonly string[],
  tombstoneSeconds: number,
): Promise<PurgedPage> {
  return transaction(database.control, async (client) => {
    const values = [functionId, keys, tombstoneSeconds, ROWS];
    const { rows } = await client.query<PurgedPage>({ ...PURGE_SETS, values });
    const [page] = rows as [PurgedPage];
    const touched = keys.slice(0, page.touched);
    const finished = page.more ? touched.slice(0, -1) : touched;
    await client.query({ ...CLEAR_SETS, values: [functionId, touched, finished] });
    return page;
  });
}

async function forgetRuns(
  database: Database,
  functionId: number,
  seconds: number,
  stopped: () => boolean,
): Promise<void> {
  for (let after = FIRST_HASH; !stopped();) {
    const values = [functionId, after, seconds, PAGE];
    const { rows } = await database.control.query<Forgettable>({ ...FORGETTABLE_RUNS, values });
    const { last, token, revision, beyond } = rows[0]!;
    if (last === null) return;
    if (beyond) await raiseForgotten(database, functionId, token, revision);
    if (token !== '-1') await database.control.query({ ...FORGET_RUNS, values });
    after = last;
  }
}

interface Forgettable {
  readonly last: string | null;
  readonly token: string;
  readonly revision: number;
  /** Whether token or revision is above those of all forgotten runs. */
  readonly beyond: boolean;
}

/**
 * Raises the function's forgotten token and revision. Resolves when every ingest statement that could still
 * create a run with a lower token has committed. Locks the function's row before the barrier, as a registration
 * does, because claims of a function with a concurrency limit lock it, too.
 */
async function raiseForgotten(
  database: Database,
  functionId: number,
  token: string,
  revision: number,
): Promise<void> {
  await transaction(database.control, async (client) => {
    await client.query('select from muster.function where id = $1 for no key update', [functionId]);
    await client.query('lock table muster.barrier in share mode');
    await client.query(
      `update muster.function set forgotten_token = greatest(forgotten_token, $2),
              forgotten_revision = greatest(forgotten_revision, $3) where id = $1`,
      [functionId, token, revision],
    );
  });
}
