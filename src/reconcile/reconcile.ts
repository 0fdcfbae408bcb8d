/**
 * Compares the tables of a function with what Muster holds of their rows, and corrects what differs.
 *
 * **Statement.** A row is reported if it differed, and still differed when it was read again at least `waitMs` later,
 * because its change may be under way. A correction is stored as the read of a snapshot, at a position and a time
 * taken before the row was read. So it can't undo a change: by the rules of versions (muster.newer), every change that
 * was committed later than 60 s before that time, or is above that position, is newer than the read.
 *
 * **Counterexamples.** A position taken after the read removes a row that is inserted in between. A transaction that
 * waits for a synchronous standby is in the log, and nobody can read its rows, however long ago that was: nothing is
 * corrected meanwhile. A row is missing also if its set was done and purged (held-rows.sql knows such sets), or done
 * and forgotten: that can't be told from a row that was lost. While a first snapshot is read, every row is missing that
 * it has not reached, and would run although it is history.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { formatLsn } from '../intake/wal/lsn.ts';
import type { CapturedTable } from '../intake/wal/captured-table.ts';
import { SourceError } from '../intake/wal/source-error.ts';
import { TableReader } from '../intake/wal/table-reader.ts';
import type { Database } from '../state/database/database.ts';
import type { Source } from '../state/ingest/sources.ts';
import { NO_WORKER, Store } from '../state/ingest/store.ts';
import { kindOf, type Difference } from './difference.ts';
import { comparableParts, connectorOf } from './parts.ts';
import type { PartRows, Suspect } from './part-rows.ts';

const PAGE = 500;
/** Rows that are looked up by their ids, and corrected, at once. */
const CHUNK = 250;
/** If this many rows are held otherwise, and fewer as the table has them, it is probably that of another database. */
const OTHER_DATABASE = 10;
/** How long after a row of a first snapshot others of it may still arrive. */
const SNAPSHOT_MS = 600_000;
/** Rows that differ at first sight and are remembered, for all parts. */
const MAX_SUSPECTS = 100_000;
const REPORTED_ROWS = 1_000_000;

export interface ReconcileOptions {
  /** URL of the source. */
  readonly url: string;
  /** Name of the source's connector; null if only one is known. */
  readonly connector: string | null;
  /** How long a row must differ. */
  readonly waitMs: number;
  readonly repairs: boolean;
  /** Whether a part is compared and corrected in spite of doubts that its table is what should be held. */
  readonly trusts: boolean;
  /** Whether rows are stored whose sets may be done and forgotten, and then run again. */
  readonly rerunsForgotten: boolean;
  /** As in {@link TableReader}'s options. */
  readonly marginMs?: number;
  /** Called with lines about the progress. */
  readonly say: (line: string) => void;
}

export interface Reconciliation {
  /** Number of rows of tables that were compared, by part. */
  readonly compared: Readonly<Record<string, number>>;
  /** Parts of tables that were not compared, each with the reason. */
  readonly notCompared: Readonly<Record<string, string>>;
  /** Parts of events and records, which no table holds, each with what it reads. */
  readonly withoutTable: Readonly<Record<string, string>>;
  readonly differences: readonly Difference[];
  /** Number of rows that are not held, perhaps because their sets were done and forgotten. */
  readonly forgotten: number;
  /** Number of differences that are corrected. */
  readonly repaired: number;
  /** Why others are not, or would not be, corrected. */
  readonly notRepaired: readonly string[];
}

/** Throws {@link SourceError} if the source can't be read, and errors from the state database. */
export async function reconcile(
  database: Database,
  fn: RegisteredFunction,
  options: ReconcileOptions,
): Promise<Reconciliation> {
  const source = await connectorOf(database, options.connector);
  const { url, marginMs } = options;
  const reader = new TableReader({
    url,
    source: source.name,
    application: 'muster reconcile',
    ...(marginMs !== undefined && { marginMs }),
  });
  try {
    await reader.open();
    await requireSameLog(reader, source);
    return await new Comparison(database, fn, source, reader, options).run();
  } finally {
    await reader.close();
  }
}

class Comparison {
  readonly #database: Database;
  readonly #fn: RegisteredFunction;
  readonly #source: Source;
  readonly #reader: TableReader;
  readonly #options: ReconcileOptions;
  readonly #compared: Record<string, number> = {};
  readonly #reasons = new Set<string>();
  /** When the newest row of a first snapshot arrived. */
  #historyAt = new Date(0);
  #count = 0;
  #forgotten = 0;
  #repaired = 0;

  constructor(
    database: Database,
    fn: RegisteredFunction,
    source: Source,
    reader: TableReader,
    options: ReconcileOptions,
  ) {
    this.#database = database;
    this.#fn = fn;
    this.#source = source;
    this.#reader = reader;
    this.#options = options;
  }

  async run(): Promise<Reconciliation> {
    const { waitMs, say, trusts } = this.#options;
    const { parts, notCompared, withoutTable } = await comparableParts(
      this.#database,
      this.#fn,
      this.#source,
      this.#reader,
      trusts,
    );
    const suspects = new Map<PartRows, Set<string>>(parts.map((each) => [each, new Set()]));
    for (const [table, its] of Map.groupBy(parts, (each) => each.table)) {
      await this.#scanTable(table, its, suspects);
    }
    for (const part of parts) await this.#scanHeld(part, suspects.get(part)!);
    if (this.#count > 0) {
      const rows = this.#count === 1 ? '1 row differs' : `${this.#count} rows differ`;
      say(`${rows}; looking again after ${waitMs / 1000} s, since changes may be under way`);
      await sleep(waitMs);
      await this.#reader.open();
      await requireSameLog(this.#reader, this.#source);
    }
    const differences: Difference[] = [];
    for (const [part, ids] of suspects) differences.push(...(await this.#lookAgain(part, ids)));
    if (this.#count >= MAX_SUSPECTS) {
      this.#reasons.add(`${MAX_SUSPECTS} rows differ, and no more were looked at`);
    }
    return {
      compared: this.#compared,
      notCompared,
      withoutTable,
      differences,
      forgotten: this.#forgotten,
      repaired: this.#repaired,
      notRepaired: [...this.#reasons],
    };
  }

  /** Notes the rows of a table that differ by any of its parts. */
  async #scanTable(
    table: CapturedTable,
    parts: readonly PartRows[],
    suspects: ReadonlyMap<PartRows, Set<string>>,
  ): Promise<void> {
    const { say } = this.#options;
    let compared = 0;
    for (let after: readonly string[] | null = null; ;) {
      const { rows, last } = await this.#reader.page(table, after, PAGE);
      compared += rows.length;
      for (const part of parts) this.#note(await part.compare(rows), suspects.get(part)!);
      if (last === null || this.#count >= MAX_SUSPECTS) break;
      after = last;
      if (compared % REPORTED_ROWS === 0) say(`${table.stream}: ${compared} rows compared`);
    }
    for (const { part } of parts) {
      this.#compared[part.name] = compared;
      say(`${part.name}: compared with ${table.stream}`);
    }
  }

  /** Notes the rows that are held by a part, and that its table does not have. */
  async #scanHeld(part: PartRows, suspects: Set<string>): Promise<void> {
    for (let from = ''; this.#count < MAX_SUSPECTS;) {
      const { ids, next, historyAt } = await part.page(from, PAGE);
      if (next === null) return;
      if (ids.length > 0) this.#note((await part.look(this.#reader, ids)).suspects, suspects);
      if (historyAt !== null && historyAt > this.#historyAt) this.#historyAt = historyAt;
      from = next;
    }
  }

  #note(found: readonly Suspect[], suspects: Set<string>): void {
    const before = suspects.size;
    for (const each of found) {
      if (this.#isForgotten(each)) this.#forgotten += 1;
      else suspects.add(each.id);
    }
    this.#count += suspects.size - before;
  }

  #isForgotten({ kind, mayBeForgotten }: Suspect): boolean {
    return kind === 'missing' && mayBeForgotten && !this.#options.rerunsForgotten;
  }

  /** Compares rows of a part once more, and corrects those that still differ, if asked to. */
  async #lookAgain(part: PartRows, ids: ReadonlySet<string>): Promise<Difference[]> {
    const why = this.#options.trusts ? null : await this.#whyDoubtful(part, ids.size);
    const differences: Difference[] = [];
    for (const chunk of chunksOf([...ids])) {
      const differing = (await part.look(this.#reader, chunk)).suspects;
      if (differing.length === 0) continue;
      // A change that was ingested after the table was read, and before what is held, differs only once.
      const twice = await part.look(
        this.#reader,
        differing.map(({ id }) => id),
      );
      const found = twice.suspects.filter((each) => !this.#isForgotten(each));
      if (found.length === 0) continue;
      differences.push(...found.map(toDifference));
      const reason = why ?? twice.whyUnreadable;
      if (reason !== null) this.#reasons.add(reason);
      else if (this.#options.repairs) await this.#repair(part, found);
    }
    return differences;
  }

  /** Returns why the table may not be what should be held. */
  async #whyDoubtful(part: PartRows, differing: number): Promise<string | null> {
    const { name } = part.part;
    if (differing === 0) return null;
    if (await part.isUnsynced()) {
      return `part ${name} is new or changed: all rows of its table that are not held count as new, and sets that they complete run. If that is wanted, use --force`;
    }
    const isEmpty = (await part.page('', 1)).next === null;
    if (this.#fn.specification.history === 'skip' && this.#source.epoch === 0) {
      const isUnderWay = Date.now() - this.#historyAt.getTime() < SNAPSHOT_MS;
      if (isEmpty || isUnderWay || !this.#source.hasStreamed) {
        return `the first snapshot of ${this.#source.name} may not have arrived whole: rows of part ${name} that it has not reached are missing, and are history. If it has, use --force`;
      }
    }
    if (isEmpty || differing < OTHER_DATABASE || differing <= part.equal) return null;
    return `few rows of part ${name} are held as its table has them: does the connector change keys or values, or is this not the database that it reads? If so much is lost, use --force`;
  }

  async #repair(part: PartRows, found: readonly Suspect[]): Promise<void> {
    const rows = found.map(({ correction }) => correction);
    const store = new Store(this.#database, [this.#fn], () => NO_WORKER);
    await store.ingest(rows);
    const held = await part.held(rows);
    const left = rows.filter((row, i) => kindOf(row, held[i]!) !== null);
    this.#repaired += rows.length - left.length;
    if (left.length === 0) return;
    this.#reasons.add(
      'changes of the last minute are newer than what was read, and others of their rows may be under way: try again',
    );
  }
}

function toDifference({ part, id, kind, key, heldKey }: Suspect): Difference {
  return { part, id, kind, key, heldKey };
}

/** Requires that the log of the source continues what was ingested: otherwise it is another server. */
async function requireSameLog(reader: TableReader, source: Source): Promise<void> {
  const { lsn } = await reader.position();
  const ingested = BigInt(source.lsn ?? 0);
  if (ingested <= lsn) return;
  throw new SourceError(
    `the log of the source ends at ${formatLsn(lsn)}, but ${formatLsn(ingested)} was ingested from ${source.name}: this is another server, or an older copy of it`,
  );
}

function* chunksOf<T>(items: readonly T[]): Generator<T[]> {
  for (let i = 0; i < items.length; i += CHUNK) yield items.slice(i, i + CHUNK);
}
