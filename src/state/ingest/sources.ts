import { textAfter } from '../../lib/text-after.ts';
import { describeLastEpoch } from './epochs.ts';
import { transaction, type Database } from '../database/database.ts';
import { MAX_PARTS } from '../../definitions/specification.ts';
import { removedRow, type MemberRow } from './member.ts';
import { refuseEvents } from './event-version.ts';
import { NO_WORKER, Store } from './store.ts';
import { MAX_EPOCH } from '../version.ts';

/** A connector that rows came from. */
export interface Source {
  readonly name: string;
  readonly id: number;
  readonly epoch: number;
  /** Newest position seen in its log; null if only snapshot reads have arrived. */
  readonly lsn: string | null;
  /** Commit time at that position. */
  readonly at: Date | null;
  /** Whether a change was streamed; until then its first snapshot may be under way. */
  readonly hasStreamed: boolean;
}

const PAGE = 256;
/** Newer than every version of a source: `2^63 - 1` belongs to an epoch that no source reaches. */
const BEYOND_ALL = (1n << 63n) - 1n;

export async function listSources(database: Database): Promise<Source[]> {
  const { rows } = await database.control.query<Source>(
    `select name, id, epoch, nullif(lsn, 0) as lsn, case when at > 0 then to_timestamp(at / 1000.0) end as at,
            streamed_at is not null as "hasStreamed"
     from muster.source order by name`,
  );
  return rows;
}

/**
 * Makes `successor` continue the source `name`: rows with equal ids are the same rows, in a new epoch, and rows
 * read by its initial snapshot are not history. Rows that came from the successor before are forgotten, and must
 * be read again. Throws if `name` is unknown.
 */
export async function replaceSource(
  database: Database,
  name: string,
  successor: string,
): Promise<{ readonly epoch: number; readonly forgotten: number }> {
  refuseEvents(name, successor);
  const old = await sourceOf(database, name);
  if (name === successor) throw new Error(`'${name}' can't replace itself`);
  if (old.epoch >= MAX_EPOCH) throw new Error(describeLastEpoch(name));
  const other = (await listSources(database)).find((each) => each.name === successor);
  if (other?.id === old.id) return { epoch: other.epoch, forgotten: 0 };
  const forgotten = other === undefined ? 0 : await forgetSource(database, successor);
  const { rows } = await database.control.query<{ epoch: number }>(
    `insert into muster.source (name, id, first_epoch, streamed_at)
     select $2, id, epoch + 1, streamed_at from muster.source where name = $1 returning epoch`,
    [name, successor],
  );
  return { epoch: rows[0]!.epoch, forgotten };
}

/**
 * Removes a source's rows from every set, and deletes the source. Sets that are done stay done. Changes that
 * arrive later from a connector of that name belong to a new source. Returns the number of rows removed from sets.
 */
export async function forgetSource(database: Database, name: string): Promise<number> {
  refuseEvents(name);
  const { id } = await sourceOf(database, name);
  const isShared = await transaction(database.control, async (client) => {
    // waits for the batches in progress; later ones find that the source does not exist
    await client.query('lock table muster.barrier in share mode');
    await client.query('delete from muster.source where name = $1', [name]);
    const { rowCount } = await client.query('select from muster.source where id = $1', [id]);
    return rowCount !== 0;
  });
  return isShared ? 0 : removeRows(database, id);
}

async function removeRows(database: Database, source: number): Promise<number> {
  const registered = await database.control.query<{
    id: number;
    registration: string;
    name: string;
  }>('select id, registration, name from muster.function where topic is null order by id');
  const functions = registered.rows.map(({ name, ...fn }) => ({ ...fn, specification: { name } }));
  const store = new Store(database, functions, () => NO_WORKER);
  let removed = 0;
  for (const fn of functions) {
    for (let partIndex = 1; partIndex <= MAX_PARTS; partIndex++) {
      for (let from = ''; ;) {
        const { rows } = await database.control.query<{ id: string; inSet: boolean }>(
          `select id, in_set as "inSet" from muster.member
           where function = $1 and part_index = $2 and source = $3 and id >= $4 and version <> ${BEYOND_ALL}
           order by id limit ${PAGE}`,
          [fn.id, partIndex, source, from],
        );
        const last = rows.at(-1);
        if (last === undefined) break;
        await store.remove(rows.map(({ id }) => removal(fn.id, partIndex, source, id)));
        removed += rows.filter(({ inSet }) => inSet).length;
        from = textAfter(last.id);
      }
    }
  }
  return removed;
}

function removal(fn: number, partIndex: number, source: number, id: string): MemberRow {
  const version = { version: BEYOND_ALL, at: Date.now(), commits: null };
  return removedRow({ function: fn, partIndex, source, id }, version);
}

async function sourceOf(database: Database, name: string): Promise<Source> {
  const sources = await listSources(database);
  const found = sources.find((each) => each.name === name);
  if (found !== undefined) return found;
  const names = sources.map((each) => each.name).join(', ') || 'none is';
  throw new Error(`no source '${name}' is known (${names})`);
}
