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
import { SourceError } from '../intake/wal/source-error.ts';
import { TableReader } from '../intake/wal/table-reader.ts';
import type { Database } from '../state/database/database.ts';
import type { Source } from '../state/ingest/sources.ts';
import { NO_WORKER, Store } from '../state/ingest/store.ts';
import { kindOf, type Difference } from './difference.ts';
import { comparableParts, connectorOf } from './parts.ts';
import type { PartRows, Suspect } from './part-rows.ts';

const PAGE = 2_000;
/** Rows that are looked up by their ids, and corrected, at once. */
const CHUNK = 250;
/** If this many rows are held otherwise, and none as the table has it, the table is probably that of another database. */
const OTHER_DATABASE = 10;
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
  /** Whether a part is corrected although none of its rows is held as its table has it, or none has arrived. */
  readonly trusts: boolean;
  /** Whether rows are stored whose sets may be done and forgotten, and then run again. */
  readonly rerunsForgotten: boolean;
  /** Called with lines about the progress. */
  readonly say: (line: string) => void;
}

export interface Reconciliation {
  /** Number of rows of tables that were compared, by part. */
  readonly compared: Readonly<Record<string, number>>;
  /** Parts that were not compared, each with the reason. */
  readonly notCompared: Readonly<Record<string, string>>;
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
  const reader = await TableReader.open(options.url, source.name, 'muster reconcile');
  try {
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
    const { parts, others } = await comparableParts(
      this.#database,
      this.#fn,
      this.#source,
      this.#reader,
      trusts,
    );
    const suspects = new Map<PartRows, Set<string>>(parts.map((each) => [each, new Set()]));
    for (const part of parts) await this.#scanTable(part, suspects.get(part)!);
    for (const part of parts) await this.#scanHeld(part, suspects.get(part)!);
    if (this.#count > 0) {
      const rows = this.#count === 1 ? '1 row differs' : `${this.#count} rows differ`;
      say(`${rows}; looking again after ${waitMs / 1000} s, since changes may be under way`);
      await sleep(waitMs);
    }
    const differences: Suspect[] = [];
    for (const [part, ids] of suspects) differences.push(...(await this.#lookAgain(part, ids)));
    if (this.#count >= MAX_SUSPECTS) {
      this.#reasons.add(`more than ${MAX_SUSPECTS} rows differ, and no more were looked at`);
    }
    return {
      compared: this.#compared,
      notCompared: others,
      differences: differences.map(toDifference),
      forgotten: this.#forgotten,
      repaired: this.#repaired,
      notRepaired: [...this.#reasons],
    };
  }

  /** Notes the rows of a part's table that differ. */
  async #scanTable(part: PartRows, suspects: Set<string>): Promise<void> {
    const { say } = this.#options;
    const { name } = part.part;
    let compared = 0;
    for (let after: readonly string[] | null = null; ;) {
      const { rows, last } = await this.#reader.page(part.table, after, PAGE);
      compared += rows.length;
      this.#note(await part.compare(rows), suspects);
      if (last === null || this.#count >= MAX_SUSPECTS) break;
      after = last;
      if (compared % REPORTED_ROWS === 0) say(`${name}: ${compared} rows compared`);
    }
    this.#compared[name] = compared;
    say(`${name}: compared with ${part.table.stream}`);
  }

  /** Notes the rows that are held by a part, and that its table does not have. */
  async #scanHeld(part: PartRows, suspects: Set<string>): Promise<void> {
    for (let after: string | null = null; this.#count < MAX_SUSPECTS;) {
      const ids: readonly string[] = await part.idsAfter(after, CHUNK);
      const last = ids.at(-1);
      if (last === undefined) return;
      const { suspects: found } = await part.look(this.#reader, ids);
      this.#note(found, suspects);
      after = last;
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
  async #lookAgain(part: PartRows, ids: ReadonlySet<string>): Promise<Suspect[]> {
    const why = await this.#whyDoubtful(part, ids.size);
    const differences: Suspect[] = [];
    for (const chunk of chunksOf([...ids])) {
      const { suspects, whyUnreadable } = await part.look(this.#reader, chunk);
      const found = suspects.filter((each) => !this.#isForgotten(each));
      differences.push(...found);
      const reason = why ?? whyUnreadable;
      if (found.length === 0) continue;
      if (reason !== null) this.#reasons.add(reason);
      else if (this.#options.repairs) await this.#repair(part, found);
    }
    return differences;
  }

  /** Returns why the differences of a part may not be those of its table. */
  async #whyDoubtful(part: PartRows, differing: number): Promise<string | null> {
    const { hasStreamed, epoch, name } = this.#source;
    if (this.#fn.specification.history === 'skip' && !hasStreamed && epoch === 0) {
      return `no change has arrived from ${name} yet, only rows of a snapshot: until it is complete, rows that it has not reached are missing`;
    }
    if (part.equal > 0 || differing < OTHER_DATABASE || this.#options.trusts) return null;
    if ((await part.idsAfter(null, 1)).length === 0) return null;
    return `no row of part ${part.part.name} is held as its table has it: does the connector change keys or values, or is this not the database that it reads? If all of it is lost, --force corrects it`;
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
