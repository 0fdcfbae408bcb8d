import { setTimeout as sleep } from 'node:timers/promises';
import type { Batcher } from './batcher.ts';
import { type Change, type Origin, type RowChange, type TruncateChange } from '../change.ts';
import { CurrentCheck } from '../registration/current.ts';
import { isBadValue, unavailable } from '../database/database.ts';
import { explainChange, type ExplainedChange } from './explain-change.ts';
import type { PositionCheck, LogPositions } from './log-positions.ts';
import { MissingColumn, toMemberRows, type MappedChange, type Problem } from './member.ts';
import { versionsOf, type SourceEpoch } from '../version.ts';
import { type RegisteredFunction } from '../../definitions/registered-function.ts';
import type { Outcome, ParkReason, Unavailable } from '../outcome.ts';
import { resolveRows, type KnownMember } from './missing-columns.ts';
import type { Store } from './store.ts';
import { deletesBelow, raiseTruncateVersion, type Truncation } from './truncate.ts';
import type { Database } from '../database/database.ts';

/**
 * ChangeIngestor maps each change to member rows for the parts of the served functions, hands them to the
 * batcher, and parks events that can't be ingested.
 */
export class ChangeIngestor {
  readonly #database: Database;
  readonly #store: Store;
  readonly #batcher: Batcher;
  readonly #positions: LogPositions;
  readonly #current: CurrentCheck;
  readonly #onTable = new Map<string, RegisteredFunction[]>();
  /** Names of the functions whose changes are ingested here. */
  readonly functions: readonly string[];
  #closed: Unavailable | null = null;
  /** When the last event arrived, in ms of `performance.now()`. */
  lastEventAt = 0;

  constructor(
    database: Database,
    store: Store,
    batcher: Batcher,
    positions: LogPositions,
    served: readonly RegisteredFunction[],
  ) {
    this.#database = database;
    this.#store = store;
    this.#batcher = batcher;
    this.#positions = positions;
    this.#current = new CurrentCheck(database, served);
    this.functions = served.map((each) => each.specification.name);
    for (const each of served) {
      for (const table of new Set(each.specification.parts.map((part) => part.table))) {
        this.#onTable.set(table, [...(this.#onTable.get(table) ?? []), each]);
      }
    }
  }

  /** Refuses every further event with this reason. */
  close(reason: Unavailable): void {
    this.#closed ??= reason;
  }

  get closed(): Unavailable | null {
    return this.#closed;
  }

  /** Resolves when every accepted event has been answered. */
  async whenIdle(): Promise<void> {
    while (this.#batcher.pending > 0) await sleep(5);
  }

  /** Resolves once the change is committed; throws {@link Unavailable}. */
  async ingest(change: Change): Promise<Outcome> {
    if (this.#closed !== null) throw this.#closed;
    this.lastEventAt = performance.now();
    const functions = this.#onTable.get(change.table);
    if (functions === undefined) return this.#unwanted();
    const check = await this.#checkPosition(change);
    switch (check.kind) {
      case 'ahead':
        return this.#park(change.origin, 'position-ahead', check.detail);
      case 'restarted':
        return this.#park(change.origin, 'position-restarted', check.detail);
      case 'fine': {
        const { place, streaming } = check;
        return change.kind === 'truncate'
          ? this.#truncate(change, place, functions)
          : this.#ingestRow(streaming ? asRecovery(change) : change, place, functions);
      }
    }
  }

  async #checkPosition(change: Change): Promise<PositionCheck> {
    try {
      if (!this.#positions.knows(change.source)) await this.#positions.register(change.source);
      let check = this.#positions.check(change);
      if (check.kind === 'restarted') {
        // an operator may have begun a new epoch a moment ago
        await this.#positions.exchange();
        check = this.#positions.check(change);
      }
      if (this.#positions.isUnsaved) await this.#positions.save();
      return check;
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Resolves once the event is parked; throws {@link Unavailable}. */
  async park(origin: Origin, reason: ParkReason, detail: string): Promise<void> {
    if (this.#closed !== null) throw this.#closed;
    await this.#park(origin, reason, detail);
  }

  /** Explains, in human-readable form, to which sets a change's row belongs now. */
  explain(change: Change): Promise<ExplainedChange> {
    const functions = this.#onTable.get(change.table) ?? [];
    const source = this.#positions.idOf(change.source);
    return explainChange(this.#database, change, source, functions, [...this.#onTable.keys()]);
  }

  /**
   * Refuses the event if a newer definition is registered, which may have a part on the table: a worker with
   * an older definition must not accept it, because an accepted event is not redelivered.
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

  async #park(origin: Origin, reason: ParkReason, detail: string): Promise<Outcome> {
    try {
      await this.#store.park(origin, reason, detail);
    } catch (error) {
      throw unavailable(error);
    }
    return { kind: 'parked', reason, detail };
  }

  async #ingestRow(
    change: RowChange,
    place: SourceEpoch,
    functions: readonly RegisteredFunction[],
  ): Promise<Outcome> {
    let mapped: MappedChange;
    try {
      mapped = merge(functions.map((served) => toMemberRows(change, place, served)));
    } catch (error) {
      if (error instanceof MissingColumn) return this.#ingestUnresolved(change, place, functions);
      throw error;
    }
    const { rows, problems } = mapped;
    const outcome =
      rows.length === 0
        ? ({ kind: 'ingested' } as const)
        : await this.#batcher.ingest(rows, change.origin);
    if (outcome.kind === 'unresolved') return this.#ingestUnresolved(change, place, functions);
    return problems.length === 0 ? outcome : this.#parkFor(problems, change);
  }

  /**
   * Ingests a change that lacks a deciding column, or that carries one which a stored newer change lacked. If
   * no known version carries the column, the event is parked.
   */
  async #ingestUnresolved(
    change: RowChange,
    place: SourceEpoch,
    functions: readonly RegisteredFunction[],
  ): Promise<Outcome> {
    let problems: readonly Problem[] = [];
    const toRows = (known: readonly KnownMember[]) => {
      const mapped = merge(functions.map((served) => resolveRows(change, place, served, known)));
      problems = mapped.problems;
      return mapped.rows;
    };
    // mapped as a delete, because that yields the row's id in every part
    const deletes = functions.map((each) => toMemberRows({ ...change, op: 'd' }, place, each));
    const ids = new Set(merge(deletes).rows.map((row) => row.id));
    try {
      await this.#store.ingestUnresolved(
        functions.map((served) => served.id),
        place.source,
        [...ids],
        toRows,
      );
    } catch (error) {
      if (isBadValue(error)) {
        return this.#park(change.origin, 'bad-value', (error as Error).message);
      }
      throw unavailable(error);
    }
    return problems.length === 0 ? { kind: 'ingested' } : this.#parkFor(problems, change);
  }

  /** Parks a change for the parts with problems; the other parts have ingested it. */
  #parkFor(problems: readonly Problem[], change: RowChange): Promise<Outcome> {
    const details = new Set(problems.map(({ detail }) => detail));
    return this.#park(change.origin, problems[0]!.reason, [...details].join('; '));
  }

  async #truncate(
    change: TruncateChange,
    place: SourceEpoch,
    functions: readonly RegisteredFunction[],
  ): Promise<Outcome> {
    const { table } = change;
    const truncation: Truncation = {
      table,
      ...versionsOf(change, place),
      source: place.source,
      functions,
    };
    try {
      await raiseTruncateVersion(this.#database, truncation);
      for await (const rows of deletesBelow(this.#database, truncation)) {
        await this.#store.ingest(rows);
      }
      return { kind: 'ingested' };
    } catch (error) {
      throw unavailable(error);
    }
  }
}

function merge(mapped: readonly MappedChange[]): MappedChange {
  return mapped.length === 1
    ? mapped[0]!
    : {
        rows: mapped.flatMap((each) => each.rows),
        problems: mapped.flatMap((each) => each.problems),
      };
}

/**
 * Marks a read of an initial snapshot as one of an incremental snapshot, which is not history. An initial
 * snapshot taken after the source had begun to stream is a recovery: the connector lost its position (a new
 * slot, a crash before its first stored offset) and reads everything again, including rows that were written
 * in between and never streamed.
 */
function asRecovery(change: RowChange): RowChange {
  return change.snapshot === 'initial' ? { ...change, snapshot: 'incremental' } : change;
}
