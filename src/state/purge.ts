import { milliseconds } from '../duration.ts';
import type { FunctionDefinition } from '../function.ts';
import { transaction, type Database } from './database.ts';
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

/** What one pass removed. */
export interface Purged {
  sets: number;
  members: number;
}

/**
 * Removes what is no longer needed, one page and one short transaction at a time: rows, events and
 * details of sets done longer than `keepFor` ago; tombstones older than the topic can hold; done
 * markers after `forgetAfter`, if given. One process at a time; the others find the lock taken. Ends
 * between two pages when `stopped` says so; the next pass goes on.
 */
export async function purge(
  database: Database,
  functions: readonly { readonly definition: FunctionDefinition; readonly served: Served }[],
  tombstoneSeconds: number,
  stopped: () => boolean = () => false,
): Promise<Purged> {
  const purged: Purged = { sets: 0, members: 0 };
  const client = await database.control.connect();
  try {
    const { rows } = await client.query<{ mine: boolean }>(
      'select pg_try_advisory_lock($1) as mine',
      [LOCK],
    );
    if (!rows[0]!.mine) return purged;
    for (const { definition, served } of functions) {
      const keepSeconds = milliseconds(definition.keepFor ?? '30 days') / 1000;
      await purgeSets(database, served.id, keepSeconds, purged, stopped);
      if (definition.forgetAfter !== undefined) {
        await forgetRuns(database, served.id, milliseconds(definition.forgetAfter) / 1000, stopped);
      }
    }
    const ids = functions.map(({ served }) => served.id);
    for (let removed = PAGE; removed === PAGE && !stopped();) {
      const result = await database.control.query({
        ...PURGE_TOMBSTONES,
        values: [ids, tombstoneSeconds, PAGE],
      });
      removed = result.rowCount ?? 0;
      purged.members += removed;
    }
    return purged;
  } finally {
    client.release(true); // the lock ends with its session, also after an error
  }
}

async function purgeSets(
  database: Database,
  functionId: number,
  keepSeconds: number,
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
          values: [functionId, keys],
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
