import { setTimeout as sleep } from 'node:timers/promises';
import type { Batcher, Unresolved } from './batcher.ts';
import type { Change, EventChange, Origin, RowChange, TruncateChange } from '../change.ts';
import { CurrentCheck } from '../registration/current.ts';
import { isBadValue, unavailable } from '../database/database.ts';
import { EventStreams } from './event-streams.ts';
import { EVENTS, placeOfEvents } from './event-version.ts';
import { explainRows, unwantedTable, type ExplainedChange } from './explain-change.ts';
import { IgnoredStreams } from './ignored-streams.ts';
import type { PositionCheck, LogPositions } from './log-positions.ts';
import { MissingColumn, toMemberRows, type MappedChange, type Problem } from './member.ts';
import { versionsOf, type SourceEpoch } from '../version.ts';
import { type RegisteredFunction } from '../../definitions/registered-function.ts';
import { recordTopicsOf, tablesOf } from '../../definitions/streams.ts';
import type { Outcome, ParkReason, Unavailable } from '../outcome.ts';
import { resolveRows, type KnownMember } from './missing-columns.ts';
import type { Store } from './store.ts';
import { truncate } from './truncate.ts';
import { withdraw } from './withdraw.ts';
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
  readonly #events: EventStreams;
  /** Names of the functions whose changes are ingested here. */
  readonly functions: readonly string[];
  /** Topics whose records are parts of these functions. */
  readonly recordTopics: ReadonlySet<string>;
  /** What is ignored because none of these functions names it. */
  readonly ignored: IgnoredStreams;
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
    this.ignored = new IgnoredStreams(this.functions);
    this.recordTopics = new Set(recordTopicsOf(served.map((each) => each.specification)));
    this.#events = new EventStreams(served);
    for (const each of served) {
      for (const table of tablesOf([each.specification])) {
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
    if (change.kind === 'event') return this.#ingestEvent(change);
    const functions = this.#onTable.get(tableOf(change));
    if (functions === undefined) return this.#unwanted(change);
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

  async #ingestEvent(event: EventChange): Promise<Outcome> {
    if (!this.#events.has(event.stream)) return this.#unwanted(event);
    const source = await this.#positions.register(EVENTS).catch((error: unknown) => {
      throw unavailable(error);
    });
    const mapped = this.#events
      .rowsOf(event)
      .map(({ change, served, parts, problems }): MappedChange => {
        if (change === null) return { rows: [], problems };
        const place = placeOfEvents(source);
        const { rows, problems: more } = toMemberRows(change, place, served, { parts });
        return { rows, problems: [...problems, ...more] };
      });
    const outcome = await this.#ingestRows(merge(mapped), this.#events.originOf(event));
    if (outcome.kind === 'unresolved') throw new Error('an event has every column');
    return outcome;
  }

  async #checkPosition(
    change: RowChange | TruncateChange,
  ): Promise<Exclude<PositionCheck, { kind: 'moved' }>> {
    try {
      await this.#positions.register(change.source);
      let check = this.#positions.check(change);
      if (check.kind === 'restarted') {
        // an operator may have begun a new epoch a moment ago
        await this.#positions.exchange();
        check = this.#positions.check(change);
      }
      while (check.kind === 'moved') {
        await this.#positions.beginEpoch(change);
        check = this.#positions.check(change);
      }
      if (this.#positions.isUnsaved) await this.#positions.save();
      return check;
    } catch (error) {
      throw unavailable(error);
    }
  }

  /**
   * Returns the newest position of a source that was ingested in its epoch; 0 if none was, and null if the source is
   * unknown. Throws {@link Unavailable}.
   */
  async ingestedUpTo(source: string): Promise<bigint | null> {
    try {
      return await this.#positions.newestOf(source);
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Makes a source known before anything arrives from it. Throws {@link Unavailable}. */
  async registerSource(source: string): Promise<void> {
    try {
      await this.#positions.register(source);
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Notes that the rows of a source were read at this time, epoch ms. Throws {@link Unavailable}. */
  async noteSnapshot(source: string, at: number): Promise<void> {
    try {
      await this.#positions.noteSnapshot(source, at);
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
  async explain(change: Change): Promise<ExplainedChange> {
    if (change.kind === 'event') {
      const why = this.#events.whyUnwanted(change.stream);
      if (why !== null) return { sets: [], why };
      const rows = this.#events
        .rowsOf(change)
        .flatMap((row) =>
          row.change === null ? [] : [{ served: row.served, change: row.change }],
        );
      return explainRows(this.#database, rows, this.#positions.idOf(EVENTS));
    }
    const table = tableOf(change);
    const functions = this.#onTable.get(table);
    if (functions === undefined) {
      return { sets: [], why: unwantedTable(table, [...this.#onTable.keys()]) };
    }
    if (change.kind === 'truncate') {
      return { sets: [], why: 'a truncate retracts every row of its table' };
    }
    const source = this.#positions.idOf(change.source);
    return explainRows(
      this.#database,
      functions.map((served) => ({ served, change })),
      source,
    );
  }

  async #unwanted(change: Change): Promise<Outcome> {
    await this.#requireCurrent();
    this.ignored.add(change);
    return { kind: 'unwanted' };
  }

  /**
   * Refuses the event if a newer definition is registered, which may have a part that reads it: a worker with
   * an older definition must not accept it, because an accepted event is not redelivered.
   */
  async #requireCurrent(): Promise<void> {
    try {
      await this.#current.check();
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
    const outcome = await this.#ingestRows(mapped, change.origin);
    return outcome.kind === 'unresolved'
      ? this.#ingestUnresolved(change, place, functions)
      : outcome;
  }

  /** Hands the rows to the batcher, and parks the event for the parts with problems, unless it is unresolved. */
  async #ingestRows(
    { rows, problems }: MappedChange,
    origin: Origin,
  ): Promise<Outcome | Unresolved> {
    // an event that every part rejects, and that has no id: a newer definition may want it
    if (rows.length === 0 && problems.length === 0) await this.#requireCurrent();
    const outcome =
      rows.length === 0
        ? ({ kind: 'ingested' } as const)
        : await this.#batcher.ingest(rows, origin);
    const isDone = problems.length === 0 || outcome.kind === 'unresolved';
    return isDone ? outcome : this.#parkFor(problems, origin);
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
    let mapped: MappedChange = { rows: [], problems: [] };
    const toRows = (known: readonly KnownMember[]) => {
      mapped = merge(functions.map((served) => resolveRows(change, place, served, known)));
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
      if (!isBadValue(error)) throw unavailable(error);
      const outcome = await this.#park(change.origin, 'bad-value', (error as Error).message);
      await withdraw(this.#store, mapped.rows).catch((cause: unknown) => {
        throw unavailable(cause);
      });
      return outcome;
    }
    const { problems } = mapped;
    return problems.length === 0 ? { kind: 'ingested' } : this.#parkFor(problems, change.origin);
  }

  /** Parks a change for the parts with problems; the other parts have ingested it. */
  #parkFor(problems: readonly Problem[], origin: Origin): Promise<Outcome> {
    const details = new Set(problems.map(({ detail }) => detail));
    return this.#park(origin, problems[0]!.reason, [...details].join('; '));
  }

  async #truncate(
    change: TruncateChange,
    { source, epoch }: SourceEpoch,
    functions: readonly RegisteredFunction[],
  ): Promise<Outcome> {
    const versions = versionsOf(change, { source, epoch });
    const truncation = { table: change.table, ...versions, source, functions };
    try {
      await truncate(this.#database, this.#store, truncation);
      return { kind: 'ingested' };
    } catch (error) {
      throw unavailable(error);
    }
  }
}

function tableOf(change: RowChange | TruncateChange): string {
  return change.kind === 'truncate' ? change.table : change.stream;
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
