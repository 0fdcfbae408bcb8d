import { randomUUID } from 'node:crypto';
import { retry } from '../../lib/retry.ts';
import { KeyHashes, keyHash } from '../key-hash.ts';
import { NO_CAPACITY, toLease, type Capacity, type Lease, type LeaseTuple } from '../lease.ts';
import { LOST_RACE, type Database } from '../database/database.ts';
import { refuseOutdated, type Registered } from '../registration/current.ts';
import type { Origin, Row } from '../change.ts';
import { parseExact } from '../../lib/exact-integers.ts';
import type { KnownMember } from './missing-columns.ts';
import type { MemberRow } from './member.ts';
import { Unavailable, type ParkReason } from '../outcome.ts';
import { ParkingQueue } from './parking-queue.ts';
import { sql } from '../sql.ts';

/** A set that is to be evaluated again. */
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
  /** Runs that were created leased, as far as the capacity reached. */
  readonly leases: readonly Lease[];
  /**
   * Rows whose stored version is newer and got a deciding column from another version: their change must be
   * ingested again with knowledge of the stored row.
   */
  readonly unresolved: readonly MemberName[];
}

const INGEST_CHANGES = sql('ingest-changes');
const KNOWN_MEMBERS = sql('known-members');
/** Worker id of a store that never leases runs. */
export const NO_WORKER = '00000000-0000-0000-0000-000000000000';
const FORGOTTEN = 'a source was forgotten or replaced a moment ago';

/** A further attempt is needed only if another worker changed the same row in between; two or three are usual. */
const RESOLVE_ATTEMPTS = 20;

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
   * Ingests rows, one per (function, part index, source, id), in one round trip and one transaction, and
   * evaluates the sets in `again`. Throws {@link Unavailable} `superseded` if a served definition is not the
   * newest, and errors from Postgres.
   */
  async ingest(
    rows: readonly MemberRow[],
    capacity = NO_CAPACITY,
    again: readonly SetName[] = [],
  ): Promise<IngestedBatch> {
    return this.#ingest(this.#values(rows, capacity, again, false));
  }

  /** Ingests deletes of rows whose source has been forgotten. */
  async remove(rows: readonly MemberRow[]): Promise<void> {
    await this.#ingest(this.#values(rows, NO_CAPACITY, [], true));
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
      return toIngestedBatch(row!);
    }, LOST_RACE);
  }

  /**
   * Ingests one change whose deciding columns were not sent: `toRows` gets the stored rows. If another worker
   * changed these in between, this is repeated until every row is resolved.
   */
  async ingestUnresolved(
    functions: readonly number[],
    source: number,
    ids: readonly string[],
    toRows: (known: readonly KnownMember[]) => readonly MemberRow[],
  ): Promise<IngestedBatch> {
    for (let tries = 1; ; tries++) {
      const { rows } = await this.#database.writers.query<StoredMemberRow>({
        ...KNOWN_MEMBERS,
        values: [functions, ids, source],
      });
      const ingested = await this.ingest(toRows(rows.map(toKnownMember)));
      if (ingested.unresolved.length === 0) return ingested;
      if (tries >= RESOLVE_ATTEMPTS) {
        throw new Error(
          `a row was changed by other workers during ${tries} attempts to resolve it`,
        );
      }
    }
  }

  /** Parks an event for the functions served here; the same event is only counted. Throws as {@link ingest} does. */
  async park(origin: Origin, reason: ParkReason, detail: string): Promise<void> {
    await this.#parking.park(origin, reason, detail);
  }

  #values(
    rows: readonly MemberRow[],
    { slots, ahead, batched }: Capacity,
    again: readonly SetName[],
    isRemoval: boolean,
  ): unknown[] {
    const named = new KeyHashes();
    const keyHashes = rows.map((row) => (row.key === null ? null : named.of(row.key)));
    const againHashes = again.map((set) => named.of(set.key));
    const { hashes, keys } = named.sorted();
    return [
      this.#functions,
      this.#registrations,
      rows.map((row) => row.function),
      rows.map((row) => row.partIndex),
      rows.map((row) => row.id),
      rows.map((row) => row.version),
      rows.map((row) => row.at),
      keyHashes,
      rows.map((row) => row.inSet),
      rows.map((row) => (row.history === null ? null : keyHash(row.history))),
      rows.map((row) => row.columns),
      rows.map((row) => row.missingColumns),
      again.map((set) => set.function),
      againHashes,
      this.#worker(),
      slots + ahead,
      rows.some((row) => row.trace !== null) ? rows.map((row) => row.trace) : [],
      rows.map((row) => row.source),
      rows.map((row) => row.commits),
      isRemoval,
      hashes,
      keys,
      randomUUID(),
      rows.map((row) => row.literals),
      slots,
      batched,
    ];
  }
}

/**
 * Opens a connection that ingests changes and has the statement planned there, which takes ten times as long as
 * ingesting an event. A pod that an event has woken does this while it starts.
 */
export async function openWriter(database: Database): Promise<void> {
  await new Store(database, [], () => NO_WORKER).ingest([]);
}

interface StoredMemberRow {
  function: number;
  partIndex: number;
  id: string;
  version: string;
  at: string;
  commits: string | null;
  purged: boolean;
  literals: number | null;
  key: string | null;
  columns: string | null;
  missingColumns: string | null;
}

/** The version that fills a missing column; empty or nulls if none does. */
type Filler = readonly [
  version?: number | bigint | null,
  at?: number | null,
  commits?: number | bigint | null,
];

function toKnownMember(row: StoredMemberRow): KnownMember {
  const columns = row.columns === null ? null : (parseExact(row.columns, JSON.rawJSON) as Row);
  const missingColumns = Object.entries(
    (row.missingColumns === null ? {} : parseExact(row.missingColumns, BigInt)) as Record<
      string,
      Filler
    >,
  ).map(([column, from]) => {
    const [version, at, commits] = from;
    if (version == null) return [column, null] as const;
    return [
      column,
      { version: BigInt(version), at: at!, commits: commits == null ? null : BigInt(commits) },
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

function toIngestedBatch(row: IngestChangesRow): IngestedBatch {
  const { ingested, completed, leases, unresolved } = row;
  return { ingested, completed, leases: leases.map(toLease), unresolved: unresolved ?? [] };
}
