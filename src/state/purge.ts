import { milliseconds } from '../duration.ts';
import type { FunctionDefinition } from '../function.ts';
import { transaction, type Database } from './database.ts';
import { clearLanes } from './lanes.ts';
import type { Served } from './member.ts';
import { sql } from './sql.ts';

const PAGE_DONE_SETS = sql('page-done-sets');
const PURGE_SETS = sql('purge-sets');
const CLEAR_SETS = sql('clear-sets');
const DROP_EMPTY_SETS = sql('drop-empty-sets');
const PURGE_TOMBSTONES = sql('purge-tombstones');
const FORGET_RUNS = sql('forget-runs');

const PAGE = 500;
const LOCK = 0x70757267;

export interface PurgeOptions {
  /** Versions and tombstones are kept so long: no older change can come then. */
  readonly tombstoneSeconds: number;
  /** Functions that were purged within this time are left alone; 0 unless given. */
  readonly everySeconds?: number;
  readonly stopped?: () => boolean;
}

/** What one pass removed. */
export interface Purged {
  sets: number;
  members: number;
}

/**
 * Removes what is no longer needed, one page and one short transaction at a time: rows, events and
 * details of sets done longer than `keepFor` ago; versions and tombstones older than the topic can hold; done
 * markers after `forgetAfter`, if given. One process at a time; the others find the lock taken. Ends
 * between two pages when `stopped` says so; the next pass goes on.
 */
export async function purge(
  database: Database,
  functions: readonly { readonly definition: FunctionDefinition; readonly served: Served }[],
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
 * Functions that were not purged for a while: processes that come and go with the load must not each read
 * all sets. Only under the registered definition: in a database that was made anew, the id may be that of
 * another function, whose sets are kept longer.
 */
async function due<T extends { readonly served: Served }>(
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
  { definition, served }: { readonly definition: FunctionDefinition; readonly served: Served },
  options: PurgeOptions,
  purged: Purged,
): Promise<void> {
  const stopped = options.stopped ?? (() => false);
  purged.members += await clearLanes(database, served.id, stopped);
  const keepSeconds = milliseconds(definition.keepFor ?? '30 days') / 1000;
  await purgeSets(database, served.id, keepSeconds, options.tombstoneSeconds, purged, stopped);
  if (definition.forgetAfter !== undefined) {
    await forgetRuns(database, served.id, milliseconds(definition.forgetAfter) / 1000, stopped);
  }
  for (let removed = PAGE; removed === PAGE && !stopped();) {
    const result = await database.control.query({
      ...PURGE_TOMBSTONES,
      values: [[served.id], options.tombstoneSeconds, PAGE],
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
  for (let after = ''; !stopped();) {
    const { rows } = await database.control.query<{ key: string; old: boolean; empty: boolean }>({
      ...PAGE_DONE_SETS,
      values: [functionId, after, keepSeconds, PAGE],
    });
    const keys = rows.filter((row) => row.old).map((row) => row.key);
    const empty = rows.filter((row) => row.empty && !row.old).map((row) => row.key);
    if (empty.length > 0) {
      await database.control.query({ ...DROP_EMPTY_SETS, values: [functionId, empty] });
    }
    if (keys.length > 0) {
      const removed = await transaction(database.control, async (client) => {
        const result = await client.query<{ members: number }>({
          ...PURGE_SETS,
          values: [functionId, keys, tombstoneSeconds],
        });
        await client.query({ ...CLEAR_SETS, values: [functionId, keys] });
        await client.query({ ...DROP_EMPTY_SETS, values: [functionId, keys] });
        return result.rows[0]!.members;
      });
      purged.sets += keys.length;
      purged.members += removed;
    }
    if (rows.length < PAGE) return;
    after = rows.at(-1)!.key;
  }
}

async function forgetRuns(
  database: Database,
  functionId: number,
  seconds: number,
  stopped: () => boolean,
): Promise<void> {
  for (let after = ''; !stopped();) {
    const { rows } = await database.control.query<{ last: string | null }>({
      ...FORGET_RUNS,
      values: [functionId, after, seconds, PAGE],
    });
    if (rows[0]!.last === null) return;
    after = rows[0]!.last;
  }
}
