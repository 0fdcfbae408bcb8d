import { setTimeout as sleep } from 'node:timers/promises';
import type { Batcher } from './batcher.ts';
import { type Change, type Origin, type RowChange, type TruncateChange } from './change.ts';
import { CurrentCheck } from './current.ts';
import { isBadValue, unavailable } from './database.ts';
import { explain, type Explanation } from './explain.ts';
import type { Marks } from './marks.ts';
import { BadKey, MissingColumn, toMemberRows, type MemberRow, type Served } from './member.ts';
import type { Outcome, ParkReason, Unavailable } from './outcome.ts';
import { toKnowingRows, type KnownMember } from './knowing.ts';
import type { Store } from './store.ts';
import { deletesBelow, raiseFloors, type Truncation } from './truncate.ts';
import type { Database } from './database.ts';

/**
 * Files changes: turns each into what it says about the parts of the served functions, keeps aside
 * what can't be filed, and hands the rest to the batcher.
 */
export class Filing {
  readonly #database: Database;
  readonly #store: Store;
  readonly #batcher: Batcher;
  readonly #marks: Marks;
  readonly #current: CurrentCheck;
  readonly #onTable = new Map<string, Served[]>();
  /** Names of the functions whose changes are filed here. */
  readonly functions: readonly string[];
  #closed: Unavailable | null = null;
  /** When the last event came, by the process' clock. */
  lastEventAt = 0;

  constructor(
    database: Database,
    store: Store,
    batcher: Batcher,
    marks: Marks,
    served: readonly Served[],
  ) {
    this.#database = database;
    this.#store = store;
    this.#batcher = batcher;
    this.#marks = marks;
    this.#current = new CurrentCheck(database, served);
    this.functions = served.map((each) => each.specification.name);
    for (const each of served) {
      for (const table of new Set(each.specification.parts.map((part) => part.table))) {
        this.#onTable.set(table, [...(this.#onTable.get(table) ?? []), each]);
      }
    }
  }

  /** From now on every event is refused, with this reason. */
  close(reason: Unavailable): void {
    this.#closed ??= reason;
  }

  get closed(): Unavailable | null {
    return this.#closed;
  }

  /** Resolves when no accepted event waits for its answer any more. */
  async settled(): Promise<void> {
    while (this.#batcher.pending > 0) await sleep(5);
  }

  /** Resolves once the change is committed; throws {@link Unavailable}. */
  async file(change: Change): Promise<Outcome> {
    if (this.#closed !== null) throw this.#closed;
    this.lastEventAt = performance.now();
    const functions = this.#onTable.get(change.table);
    if (functions === undefined) return this.#unwanted();
    const judgement = this.#marks.judge(change);
    if (this.#marks.firstIsUnsaved) await this.#saveMarks();
    switch (judgement.kind) {
      case 'ahead':
        return this.#park(change.origin, 'position-ahead', judgement.detail);
      case 'restarted':
        return this.#park(change.origin, 'position-restarted', judgement.detail);
      case 'fine':
        return change.kind === 'truncate'
          ? this.#truncate(change, judgement.epoch, functions)
          : this.#fileRow(
              judgement.streaming ? asRecovery(change) : change,
              judgement.epoch,
              functions,
            );
    }
  }

  /** Resolves once the event is kept aside; throws {@link Unavailable}. */
  async park(origin: Origin, reason: ParkReason, detail: string): Promise<void> {
    if (this.#closed !== null) throw this.#closed;
    await this.#park(origin, reason, detail);
  }

  /** The sets a change's row belongs to now, for people. */
  async explain(change: Change): Promise<Explanation[]> {
    if (change.kind === 'truncate') return [];
    const explanations: Explanation[] = [];
    for (const served of this.#onTable.get(change.table) ?? []) {
      // read as an update, which says something about every part on the table
      const rows = toMemberRows({ ...change, op: change.op === 'd' ? 'd' : 'u' }, 0, served);
      for (const key of new Set(rows.map((row) => row.key))) {
        const explanation =
          key === null ? null : await explain(this.#database, served.specification.name, key);
        if (explanation !== null) explanations.push(explanation);
      }
    }
    return explanations;
  }

  /**
   * A newer definition may want the table that none here does: the answer must not come from a worker that
   * has not heard of it yet, because nobody sends the event again.
   */
  async #unwanted(): Promise<Outcome> {
    try {
      await this.#current.check();
      return { kind: 'unwanted' };
    } catch (error) {
      if ((error as Unavailable).reason === 'superseded') this.close(error as Unavailable);
      throw error;
    }
  }

  async #saveMarks(): Promise<void> {
    try {
      await this.#marks.saveFirst();
    } catch (error) {
      throw unavailable(error);
    }
  }

  async #park(origin: Origin, reason: ParkReason, detail: string): Promise<Outcome> {
    try {
      await this.#store.park(origin, reason, detail);
    } catch (error) {
      throw unavailable(error);
    }
    return { kind: 'parked', reason, detail };
  }

  async #fileRow(change: RowChange, epoch: number, functions: readonly Served[]): Promise<Outcome> {
    let rows: MemberRow[];
    try {
      rows = functions.flatMap((served) => toMemberRows(change, epoch, served));
    } catch (error) {
      if (error instanceof BadKey) return this.#park(change.origin, 'bad-key', error.message);
      if (error instanceof MissingColumn) return this.#fileKnowing(change, epoch, functions);
      throw error;
    }
    if (rows.length === 0) return { kind: 'filed' };
    const outcome = await this.#batcher.file(rows, change.origin);
    return outcome.kind === 'undecided' ? this.#fileKnowing(change, epoch, functions) : outcome;
  }

  /**
   * A column that decides was not sent, or a newer change lacked one that this one carries. Where no
   * version is known that carried it, the event is kept aside.
   */
  async #fileKnowing(
    change: RowChange,
    epoch: number,
    functions: readonly Served[],
  ): Promise<Outcome> {
    const toRows = (known: readonly KnownMember[]) =>
      functions.flatMap((served) => toKnowingRows(change, epoch, served, known));
    const ids = new Set<string>();
    try {
      // A delete says nothing but the row's id in each part.
      for (const served of functions) {
        for (const row of toMemberRows({ ...change, op: 'd' }, epoch, served)) ids.add(row.id);
      }
      await this.#store.fileKnowing(
        functions.map((served) => served.id),
        [...ids],
        toRows,
        0,
      );
      return { kind: 'filed' };
    } catch (error) {
      if (error instanceof MissingColumn) {
        return this.#park(
          change.origin,
          'unavailable-column',
          `column '${error.message}' of ${change.table} was not sent and nothing is known of the row: alter table ${change.table} replica identity full`,
        );
      }
      if (error instanceof BadKey) return this.#park(change.origin, 'bad-key', error.message);
      if (isBadValue(error))
        return this.#park(change.origin, 'bad-value', (error as Error).message);
      throw unavailable(error);
    }
  }

  async #truncate(
    change: TruncateChange,
    epoch: number,
    functions: readonly Served[],
  ): Promise<Outcome> {
    const truncation: Truncation = {
      table: change.table,
      epoch,
      lsn: change.lsn,
      at: change.at,
      functions,
    };
    try {
      await raiseFloors(this.#database, truncation);
      for await (const rows of deletesBelow(this.#database, truncation))
        await this.#store.file(rows, 0);
      return { kind: 'filed' };
    } catch (error) {
      throw unavailable(error);
    }
  }
}

/**
 * An initial snapshot that was taken after the source had begun to stream is no history: the connector
 * lost its place (a new slot, a crash before its first stored offset) and reads everything again, also
 * what was written meanwhile and never streamed.
 */
function asRecovery(change: RowChange): RowChange {
  return change.snapshot === 'initial' ? { ...change, snapshot: 'incremental' } : change;
}
