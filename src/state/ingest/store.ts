import { retry } from '../../lib/retry.ts';
import { toLease, type Lease, type LeaseTuple } from '../lease.ts';
import { LOST_RACE, type Database } from '../database/database.ts';
import { refuseOutdated, type Registered } from '../registration/current.ts';
import type { Origin, Row } from '../change.ts';
import { parseExact } from '../../lib/exact-integers.ts';
import type { KnownMember } from './missing-columns.ts';
import type { MemberRow } from './member.ts';
import { Unavailable, type ParkReason } from '../outcome.ts';
import { ParkingQueue } from './parking-queue.ts';
import { sql } from '../sql.ts';

/** A set to hold against its rule again. */
export interface SetName {
  readonly function: number;
  readonly key: string;
}

/** Function, part index, source and id. */
type MemberName = readonly [function: number, partIndex: number, source: number, id: string];

export interface IngestedBatch {
  /** Member rows that were new or newer; the rest were duplicates or stale. */
  readonly ingested: number;
  /** Functions with the number of their sets that became complete. */
  readonly completed: readonly (readonly [function: number, sets: number])[];
  /** Runs of those, as many as there were slots. */
  readonly leases: readonly Lease[];
  /**
   * Rows whose stored version is newer and got a deciding column from elsewhere: a change of theirs that
   * carries it must be ingested with that version known.
   */
  readonly unresolved: readonly MemberName[];
}

const INGEST_CHANGES = sql('ingest-changes');
const KNOWN_MEMBERS = sql('known-members');
/** Holds no lease. */
const NOBODY = '00000000-0000-0000-0000-000000000000';
const FORGOTTEN = 'a source was forgotten or replaced a moment ago';

/** Each time a neighbour brought something new of the same row: two or three are the most. */
const RESOLVE_TRIES = 20;

export class Store {
  readonly #database: Database;
  readonly #parking: ParkingQueue;
  readonly #worker: () => string;
  readonly #functions: number[];
  readonly #registrations: string[];
  readonly #served: readonly Registered[];

  constructor(database: Database, served: readonly Registered[], worker: () => string) {
    this.#database = database;
    this.#parking = new ParkingQueue(database, served);
    this.#worker = worker;
    this.#functions = served.map((each) => each.id);
    this.#registrations = served.map((each) => each.registration);
    this.#served = served;
  }

  /**
   * Ingests rows, one per (function, part index, source, id), in one round trip and one transaction. Throws
   * {@link Unavailable} `superseded` when a served definition is not the newest; other errors are
   * Postgres' own.
   */
  async ingest(
    rows: readonly MemberRow[],
    slots: number,
    again: readonly SetName[] = [],
  ): Promise<IngestedBatch> {
    return this.#ingest(this.#values(rows, slots, again, false));
  }

  /** Files deletes of a source that is not known any more. */
  async remove(rows: readonly MemberRow[]): Promise<void> {
    await this.#ingest(this.#values(rows, 0, [], true));
  }

  #ingest(values: readonly unknown[]): Promise<IngestedBatch> {
    return retry(async () => {
      const result = await this.#database.writers.query<IngestChangesRow>({
        ...INGEST_CHANGES,
        values: [...values],
      });
      const [row] = result.rows;
      if (row!.is_forgotten) throw new Unavailable('database', FORGOTTEN);
      if (!row!.is_current) await refuseOutdated(this.#database, this.#served);
      return toFiled(row!);
    }, LOST_RACE);
  }

  /**
   * Ingests one change whose deciding columns were not sent: `toRows` gets what is stored of each row. Where
   * another worker changed that in between it is done again, until every row is resolved.
   */
  async ingestUnresolved(
    functions: readonly number[],
    source: number,
    ids: readonly string[],
    toRows: (known: readonly KnownMember[]) => readonly MemberRow[],
    slots: number,
  ): Promise<IngestedBatch> {
    for (let tries = 1; ; tries++) {
      const { rows } = await this.#database.writers.query<StoredKnowledge>({
        ...KNOWN_MEMBERS,
        values: [functions, ids, source],
      });
      const ingested = await this.ingest(toRows(rows.map(toKnown)), slots);
      if (ingested.unresolved.length === 0) return ingested;
      if (tries >= RESOLVE_TRIES) throw new Error('what is known of a row changes all the time');
    }
  }

  /** Parks an event, for the functions served here; the same event again only counts. Throws as {@link file} does. */
  async park(origin: Origin, reason: ParkReason, detail: string): Promise<void> {
    await this.#parking.park(origin, reason, detail);
  }

  #values(
    rows: readonly MemberRow[],
    slots: number,
    again: readonly SetName[],
    isRemoval: boolean,
  ): unknown[] {
    return [
      this.#functions,
      this.#registrations,
      rows.map((row) => row.function),
      rows.map((row) => row.partIndex),
      rows.map((row) => row.id),
      rows.map((row) => row.version),
      rows.map((row) => row.at),
      rows.map((row) => row.key),
      rows.map((row) => row.inSet),
      rows.map((row) => row.history),
      rows.map((row) => row.columns),
      rows.map((row) => row.missingColumns),
      again.map((set) => set.function),
      again.map((set) => set.key),
      this.#worker(),
      slots,
      rows.some((row) => row.trace !== null) ? rows.map((row) => row.trace) : [],
      rows.map((row) => row.source),
      rows.map((row) => row.commits),
      isRemoval,
    ];
  }
}

/**
 * Opens a connection that ingests changes and has the statement planned there, which takes ten times as
 * long as to file an event: a pod that an event has woken does it while it starts.
 */
export async function openWriter(database: Database): Promise<void> {
  await new Store(database, [], () => NOBODY).ingest([], 0);
}

interface StoredKnowledge {
  function: number;
  partIndex: number;
  id: string;
  version: string;
  at: string;
  commits: string | null;
  purged: boolean;
  columns: string | null;
  missingColumns: string | null;
}

function toKnown(row: StoredKnowledge): KnownMember {
  const columns = row.columns === null ? null : (parseExact(row.columns, JSON.rawJSON) as Row);
  const missingColumns = Object.entries(
    (row.missingColumns === null ? {} : parseExact(row.missingColumns, BigInt)) as Record<
      string,
      unknown
    >,
  ).map(([column, from]) => {
    if (!Array.isArray(from)) return [column, null] as const;
    const [version, at, commits] = from as [number | bigint, number, number | bigint | null];
    return [
      column,
      { version: BigInt(version), at, commits: commits === null ? null : BigInt(commits) },
    ] as const;
  });
  return {
    ...row,
    version: BigInt(row.version),
    at: Number(row.at),
    commits: row.commits === null ? null : BigInt(row.commits),
    columns,
    missingColumns: Object.fromEntries(missingColumns),
  };
}

interface IngestChangesRow {
  is_current: boolean;
  is_forgotten: boolean;
  ingested: number;
  completed: [number, number][];
  leases: LeaseTuple[];
  unresolved: MemberName[] | null;
}

function toFiled(row: IngestChangesRow): IngestedBatch {
  const { ingested, completed, leases, unresolved } = row;
  return { ingested, completed, leases: leases.map(toLease), unresolved: unresolved ?? [] };
}
