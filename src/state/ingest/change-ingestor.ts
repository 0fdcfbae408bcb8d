import { setTimeout as sleep } from 'node:timers/promises';
import type { Batcher } from './batcher.ts';
import { type Change, type Origin, type RowChange, type TruncateChange } from '../change.ts';
import { CurrentCheck } from '../registration/current.ts';
import { isBadValue, unavailable } from '../database/database.ts';
import { explainChange, type ExplainedChange } from './explain-change.ts';
import type { PositionCheck, LogPositions } from './log-positions.ts';
import { MissingColumn, toMemberRows, type Problem, type Said } from './member.ts';
import { versionsOf, type SourceEpoch } from '../version.ts';
import { type RegisteredFunction } from '../../definitions/registered-function.ts';
import type { Outcome, ParkReason, Unavailable } from '../outcome.ts';
import { resolveRows, type KnownMember } from './missing-columns.ts';
import type { Store } from './store.ts';
import { deletesBelow, raiseTruncateVersion, type Truncation } from './truncate.ts';
import type { Database } from '../database/database.ts';

/**
 * Ingests changes: turns each into what it says about the parts of the served functions, parks
 * what can't be ingested, and hands the rest to the batcher.
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
  /** When the last event came, by the process' clock. */
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

  /** From now on every event is refused, with this reason. */
  close(reason: Unavailable): void {
    this.#closed ??= reason;
  }

  get closed(): Unavailable | null {
    return this.#closed;
  }

  /** Resolves when no accepted event waits for its answer any more. */
  async whenIdle(): Promise<void> {
    while (this.#batcher.pending > 0) await sleep(5);
  }

  /** Resolves once the change is committed; throws {@link Unavailable}. */
  async ingest(change: Change): Promise<Outcome> {
    if (this.#closed !== null) throw this.#closed;
    this.lastEventAt = performance.now();
    const functions = this.#onTable.get(change.table);
    if (functions === undefined) return this.#unwanted();
    const check = await this.#judge(change);
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

  async #judge(change: Change): Promise<PositionCheck> {
    try {
      if (!this.#positions.knows(change.source)) await this.#positions.meet(change.source);
      let check = this.#positions.judge(change);
      if (check.kind === 'restarted') {
        // somebody may have begun a new epoch a moment ago
        await this.#positions.exchange();
        check = this.#positions.judge(change);
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

  /** The sets a change's row belongs to now, for people. */
  explain(change: Change): Promise<ExplainedChange> {
    const functions = this.#onTable.get(change.table) ?? [];
    const source = this.#positions.idOf(change.source);
    return explainChange(this.#database, change, source, functions, [...this.#onTable.keys()]);
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
    let said: Said;
    try {
      said = merge(functions.map((served) => toMemberRows(change, place, served)));
    } catch (error) {
      if (error instanceof MissingColumn) return this.#ingestUnresolved(change, place, functions);
      throw error;
    }
    const { rows, problems } = said;
    const outcome =
      rows.length === 0
        ? ({ kind: 'ingested' } as const)
        : await this.#batcher.ingest(rows, change.origin);
    if (outcome.kind === 'unresolved') return this.#ingestUnresolved(change, place, functions);
    return problems.length === 0 ? outcome : this.#parkFor(problems, change);
  }

  /**
   * A column that decides was not sent, or a newer change lacked one that this one carries. Where no
   * version is known that carried it, the event is parked.
   */
  async #ingestUnresolved(
    change: RowChange,
    place: SourceEpoch,
    functions: readonly RegisteredFunction[],
  ): Promise<Outcome> {
    let problems: readonly Problem[] = [];
    const toRows = (known: readonly KnownMember[]) => {
      const said = merge(functions.map((served) => resolveRows(change, place, served, known)));
      problems = said.problems;
      return said.rows;
    };
    // A delete says nothing but the row's id in each part.
    const deletes = functions.map((each) => toMemberRows({ ...change, op: 'd' }, place, each));
    const ids = new Set(merge(deletes).rows.map((row) => row.id));
    try {
      await this.#store.ingestUnresolved(
        functions.map((served) => served.id),
        place.source,
        [...ids],
        toRows,
        0,
      );
    } catch (error) {
      if (isBadValue(error)) {
        return this.#park(change.origin, 'bad-value', (error as Error).message);
      }
      throw unavailable(error);
    }
    return problems.length === 0 ? { kind: 'ingested' } : this.#parkFor(problems, change);
  }

  /** Parts that could tell what the change means have it; for the others its event waits. */
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
        await this.#store.ingest(rows, 0);
      }
      return { kind: 'ingested' };
    } catch (error) {
      throw unavailable(error);
    }
  }
}

function merge(said: readonly Said[]): Said {
  return said.length === 1
    ? said[0]!
    : {
        rows: said.flatMap((each) => each.rows),
        problems: said.flatMap((each) => each.problems),
      };
}

/**
 * An initial snapshot that was taken after the source had begun to stream is no history: the connector
 * lost its place (a new slot, a crash before its first stored offset) and reads everything again, also
 * what was written meanwhile and never streamed.
 */
function asRecovery(change: RowChange): RowChange {
  return change.snapshot === 'initial' ? { ...change, snapshot: 'incremental' } : change;
}
