/**
 * Compares the tables of a function with what Muster holds of their rows, and corrects what differs.
 *
 * **Statement.** A row is reported if it differed, and still differed when it was read again at least `waitMs` later:
 * a change that is under way for less than that is no difference. A correction is stored as the read of a snapshot, at
 * a position and a time taken before the row was read. So it can't undo a change: by the rules of versions
 * (muster.newer), every change that was committed later than 60 s before that time, or is above that position, is
 * newer than the read.
 *
 * Counterexamples that the order rules out: the position taken after the read (a row that is inserted in between would
 * be removed), and a row that a transaction has written to the log but that waits for a synchronous standby (nobody
 * can read it, however long ago that was: nothing is corrected meanwhile).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { TablePartSpecification } from '../definitions/part-specification.ts';
import { isTablePart, streamOf } from '../definitions/streams.ts';
import { formatLsn } from '../intake/wal/lsn.ts';
import { SourceError } from '../intake/wal/source-error.ts';
import { TableReader } from '../intake/wal/table-reader.ts';
import type { CapturedTable } from '../intake/wal/captured-table.ts';
import type { Database } from '../state/database/database.ts';
import { EVENTS } from '../state/ingest/event-version.ts';
import { listSources, type Source } from '../state/ingest/sources.ts';
import { NO_WORKER, Store } from '../state/ingest/store.ts';
import { markResynced } from '../state/registration/parts.ts';
import type { StoredFunction } from '../state/registration/stored-function.ts';
import { whyIncomparable } from './comparable.ts';
import { kindOf, type Difference } from './difference.ts';
import { PartRows, type Suspect } from './part-rows.ts';

const PAGE = 2_000;
/** Rows that are looked up by their ids, and corrected, at once. */
const CHUNK = 250;
/** If this many rows are held otherwise, and none as the table has it, the table is probably that of another database. */
const OTHER_DATABASE = 10;
/** Rows that differ at first sight and are remembered, for all parts. */
const MAX_SUSPECTS = 100_000;

export interface ReconcileOptions {
  /** URL of the source. */
  readonly url: string;
  /** Name of the source's connector; null if only one is known. */
  readonly connector: string | null;
  /** How long a row must differ. */
  readonly waitMs: number;
  readonly repairs: boolean;
  /** Called with lines about the progress. */
  readonly say: (line: string) => void;
}

export interface Reconciliation {
  /** Number of rows of tables that were compared, by part. */
  readonly compared: Readonly<Record<string, number>>;
  /** Parts that were not compared, each with the reason. */
  readonly notCompared: Readonly<Record<string, string>>;
  readonly differences: readonly Difference[];
  /** Number of differences that are corrected. */
  readonly repaired: number;
  /** Why others are not corrected, if they were to be. */
  readonly notRepaired: readonly string[];
  /** Parts that waited for their table to be read, and are whole now. */
  readonly resynced: readonly string[];
}

/** Throws {@link SourceError} if the source can't be compared, and errors from Postgres. */
export async function reconcile(
  database: Database,
  fn: StoredFunction,
  options: ReconcileOptions,
): Promise<Reconciliation> {
  const source = await sourceOf(database, options.connector);
  const reader = await TableReader.open(options.url, source.name);
  try {
    await requireSameLog(reader, source);
    return await new Comparison(database, fn, source, reader, options).run();
  } finally {
    await reader.close();
  }
}

class Comparison {
  readonly #database: Database;
  readonly #fn: StoredFunction;
  readonly #source: Source;
  readonly #reader: TableReader;
  readonly #options: ReconcileOptions;
  readonly #compared: Record<string, number> = {};
  readonly #notCompared: Record<string, string> = {};
  #suspects = 0;

  constructor(
    database: Database,
    fn: StoredFunction,
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
    const { waitMs, say, repairs } = this.#options;
    const parts = await this.#parts();
    const suspects = new Map<PartRows, Set<string>>(parts.map((each) => [each, new Set()]));
    for (const part of parts) await this.#scanTable(part, suspects.get(part)!);
    for (const part of parts) await this.#scanHeld(part, suspects.get(part)!);
    const differences: Suspect[] = [];
    const outcome = { repaired: 0, notRepaired: new Set<string>() };
    if (this.#suspects > 0) {
      const rows = this.#suspects === 1 ? '1 row differs' : `${this.#suspects} rows differ`;
      say(`${rows}; looking again after ${waitMs / 1000} s, since changes may be under way`);
      await sleep(waitMs);
    }
    for (const [part, ids] of suspects) {
      const isOther = part.equal === 0 && ids.size >= OTHER_DATABASE && (await part.holdsAny());
      for (const chunk of chunksOf([...ids])) {
        // asked before the rows are read: see the statement above
        const why = isOther ? otherDatabase(part.part.name) : await this.#reader.whyUnreadable();
        const found = await part.look(this.#reader, chunk);
        differences.push(...found);
        if (!repairs || found.length === 0) continue;
        if (why === null) await this.#repair(part, found, outcome);
        else outcome.notRepaired.add(why);
      }
    }
    const { repaired, notRepaired } = outcome;
    if (this.#suspects >= MAX_SUSPECTS) {
      notRepaired.add(`more than ${MAX_SUSPECTS} rows differ, and no more were looked at`);
    }
    const isWhole = repairs && repaired === differences.length && notRepaired.size === 0;
    return {
      compared: this.#compared,
      notCompared: this.#notCompared,
      differences: differences.map(({ part, id, kind, key, heldKey }) => ({
        part,
        id,
        kind,
        key,
        heldKey,
      })),
      repaired,
      notRepaired: [...notRepaired],
      resynced: isWhole ? await this.#noteResynced(parts) : [],
    };
  }

  /** Returns the parts that can be compared. */
  async #parts(): Promise<PartRows[]> {
    const { parts } = this.#fn.specification;
    const tables = new Map<string, CapturedTable>();
    const place = { source: this.#source.id, epoch: this.#source.epoch };
    const comparable: PartRows[] = [];
    for (const part of parts) {
      if (!isTablePart(part)) {
        this.#notCompared[part.name] = `it reads the ${streamOf(part)}, which no table holds`;
        continue;
      }
      const { table: name } = part;
      const table =
        tables.get(name) ??
        (await this.#reader.table(name, columnsOf(parts.filter(isTablePart), name)));
      tables.set(name, table);
      const why = whyIncomparable(part, table.table, this.#source.name.startsWith('wal:'));
      if (why === null) comparable.push(new PartRows(this.#database, this.#fn, place, part, table));
      else this.#notCompared[part.name] = why;
    }
    return comparable;
  }

  /** Notes the rows of a part's table that differ. */
  async #scanTable(part: PartRows, suspects: Set<string>): Promise<void> {
    let compared = 0;
    for (let place: readonly string[] | null = null; ;) {
      const { rows, next } = await this.#reader.page(part.table, place, PAGE);
      compared += rows.length;
      this.#note(await part.compare(rows), suspects);
      if (next === null || this.#suspects >= MAX_SUSPECTS) break;
      place = next;
    }
    this.#compared[part.part.name] = compared;
    this.#options.say(`${part.part.name}: compared with ${part.table.stream}`);
  }

  /** Notes the rows that are held by a part, and that its table does not have. */
  async #scanHeld(part: PartRows, suspects: Set<string>): Promise<void> {
    for (let after = ''; this.#suspects < MAX_SUSPECTS;) {
      const ids = await part.held(after, CHUNK);
      const last = ids.at(-1);
      if (last === undefined) return;
      this.#note(await part.look(this.#reader, ids), suspects);
      after = last;
    }
  }

  #note(found: readonly Suspect[], suspects: Set<string>): void {
    const before = suspects.size;
    for (const { id } of found) suspects.add(id);
    this.#suspects += suspects.size - before;
  }

  async #repair(
    part: PartRows,
    found: readonly Suspect[],
    outcome: { repaired: number; notRepaired: Set<string> },
  ): Promise<void> {
    const { hasForgotten } = this.#fn;
    const isForgotten = ({ kind, hasSet }: Suspect) =>
      hasForgotten && kind === 'missing' && !hasSet;
    if (found.some(isForgotten)) {
      outcome.notRepaired.add(
        'rows of sets that are not known: these may be done and forgotten (forgetAfter), and would run again',
      );
    }
    const rows = found.filter((each) => !isForgotten(each)).map(({ correction }) => correction);
    if (rows.length === 0) return;
    const store = new Store(this.#database, [this.#fn], () => NO_WORKER);
    await store.ingest(rows);
    const held = await part.holds(rows);
    const left = rows.filter((row, i) => kindOf(row, held[i]!) !== null);
    outcome.repaired += rows.length - left.length;
    if (left.length > 0) {
      outcome.notRepaired.add(
        'rows that changed within the last minute: their changes may be under way, so try again',
      );
    }
  }

  async #noteResynced(parts: readonly PartRows[]): Promise<string[]> {
    const marked: string[] = [];
    for (const { part } of parts) {
      marked.push(...(await markResynced(this.#database, this.#fn.id, part.name)));
    }
    return marked;
  }
}

function columnsOf(parts: readonly TablePartSpecification[], table: string): Set<string> {
  return new Set(parts.filter((each) => each.table === table).flatMap(({ columns }) => columns));
}

/** Returns the connector of this name, or the only one. */
async function sourceOf(database: Database, name: string | null): Promise<Source> {
  const sources = (await listSources(database)).filter(({ name: each }) => each !== EVENTS);
  const names = sources.map((each) => each.name);
  const found = name === null ? sources[0] : sources.find((each) => each.name === name);
  if (found !== undefined && (name !== null || sources.length === 1)) return found;
  if (names.length === 0) throw new SourceError('nothing has arrived from any connector yet');
  throw new SourceError(
    name === null
      ? `several connectors are known (${names.join(', ')}): name that of the source with --connector`
      : `no connector '${name}' is known, only ${names.join(', ')}`,
  );
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

function otherDatabase(part: string): string {
  return `no row of part ${part} is held as its table has it: does the connector change keys or values, or is this not the database that it reads?`;
}

function* chunksOf<T>(items: readonly T[]): Generator<T[]> {
  for (let i = 0; i < items.length; i += CHUNK) yield items.slice(i, i + CHUNK);
}
