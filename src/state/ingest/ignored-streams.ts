import type { Change } from '../change.ts';
import { transaction, type Database } from '../database/database.ts';
import { sql } from '../sql.ts';

const ADD_IGNORED = sql('add-ignored');
const PURGE_IGNORED = sql('purge-ignored');

/** Maximum number of names that one worker counts between two writes; senders choose them. */
const MAX_COUNTED = 50;
/** Maximum number of names in the table. */
const MAX_STORED = 200;
/** Maximum length of a name that is counted, and of a source that is stored. */
const MAX_LENGTH = 200;
/** Advisory lock of those who add names. */
const LOCK = 0x69676e6f;
/** The names that are not counted by themselves. */
const OTHER = { kind: 'other', name: '' } as const;

interface Ignored {
  readonly kind: 'event' | 'table' | 'other';
  readonly name: string;
  readonly source: string | null;
  readonly count: number;
}

/**
 * IgnoredStreams counts, in memory, the events of types and the changes of tables that no function of this worker
 * names, and adds the counts to the database when told to. Neither the memory nor the rows grow with the number of
 * names. A write whose answer is lost may be counted twice.
 */
export class IgnoredStreams {
  readonly #functions: readonly string[];
  #counts = new Map<string, Ignored>();

  /** `functions` are the names of those that the worker serves. */
  constructor(functions: readonly string[]) {
    this.#functions = functions;
  }

  add(change: Change): void {
    const { attributes } = change.origin;
    const source = storable(attributes['source'] ?? '')?.slice(0, MAX_LENGTH) || null;
    switch (change.kind) {
      case 'event': {
        const { type } = change.attributes;
        // A record has none: it is only read if a function names its topic.
        if (type !== undefined) this.#add({ kind: 'event', name: type, source, count: 1 });
        return;
      }
      case 'row':
        return this.#add({ kind: 'table', name: change.stream, source, count: 1 });
      case 'truncate':
        return this.#add({ kind: 'table', name: change.table, source, count: 1 });
    }
  }

  /** Adds the counts to the database. If that fails, they are kept for the next time. */
  async write(database: Database): Promise<void> {
    const counts = [...this.#counts.values()];
    if (counts.length === 0) return;
    this.#counts = new Map();
    try {
      await transaction(database.control, async (client) => {
        await client.query('select pg_advisory_xact_lock($1)', [LOCK]);
        await client.query({
          ...ADD_IGNORED,
          values: [
            counts.map(({ kind }) => kind),
            counts.map(({ name }) => name),
            counts.map(({ count }) => count),
            counts.map(({ source }) => source),
            this.#functions,
            MAX_STORED,
          ],
        });
      });
    } catch (error) {
      for (const each of counts) this.#add(each);
      throw error;
    }
  }

  #add(ignored: Ignored): void {
    const id = `${ignored.kind} ${ignored.name}`;
    const known = this.#counts.get(id);
    if (known !== undefined) {
      this.#counts.set(id, { ...ignored, count: known.count + ignored.count });
    } else if (
      ignored.kind === 'other' ||
      (this.#counts.size < MAX_COUNTED && isCounted(ignored))
    ) {
      this.#counts.set(id, ignored);
    } else {
      this.#add({ ...ignored, ...OTHER });
    }
  }
}

/** Deletes the counts of what last arrived more than `seconds` ago. */
export async function purgeIgnored(database: Database, seconds: number): Promise<void> {
  await database.control.query({ ...PURGE_IGNORED, values: [seconds] });
}

/** Forgets all counts, or those of one name; returns the forgotten names, an empty one for those counted together. */
export async function forgetIgnored(database: Database, name: string | null): Promise<string[]> {
  const { rows } = await database.control.query<{ name: string }>(
    'delete from muster.ignored where $1::text is null or name = $1 returning name',
    [name],
  );
  return rows.map((row) => row.name).toSorted();
}

function isCounted({ name }: Ignored): boolean {
  return name.length <= MAX_LENGTH && storable(name) !== null;
}

/** Returns null for a text that PostgreSQL can't store. */
function storable(text: string): string | null {
  return text.includes('\0') || !text.isWellFormed() ? null : text;
}
