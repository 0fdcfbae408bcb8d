import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Log } from '../../function.ts';
import { errorText } from '../../lib/error-text.ts';
import { TIMED_OUT, withTimeout } from '../../lib/timeout.ts';
import { capture, type CapturedTable } from './captured-table.ts';
import { connect, disconnect } from './connection.ts';
import { Delivery, type Ingestor } from './delivery.ts';
import { noteAllRead, preparePublication, publishes } from './publication.ts';
import { dropSlot, enableFailover, readSlot, type Slot } from './slot.ts';
import { takeSnapshot } from './snapshot.ts';
import {
  foreignSlot,
  requireContinuation,
  requirePrimary,
  requireSameFunctions,
  whyHeldBack,
  whyUseless,
} from './source-checks.ts';
import { SourceError } from './source-error.ts';
import { readTable } from './source-table.ts';
import { Stream } from './stream.ts';

/** How long changes are retried: then the connection is closed, so that the server may stop, or another process read. */
const STREAM_RETRY_MS = 5_000;
/** The same for a snapshot, which would start again. */
const SNAPSHOT_RETRY_MS = 600_000;
const WATCH_MS = 1_000;
/** How long a standby that the server waits for may be away, as it is during a restart, before that is reported. */
const AWAITED_MS = 5_000;
/** How long the source may take for a query of its catalog. */
const ANSWER_MS = 15_000;

/** What a session needs of the state, beside ingesting changes. */
interface SourceState {
  /** Returns the newest position that was ingested in the source's epoch, or 0; null if the source is unknown. */
  ingestedUpTo(source: string): Promise<bigint | null>;
  /** Makes a source known. */
  registerSource(source: string): Promise<void>;
  /** Notes that all rows were read once, at this time: rows that are read later are not history. */
  noteSnapshot(source: string, at: number): Promise<void>;
}

/** What is measured of the reader of a slot. */
interface WalProgress {
  /** Bytes of log that the source retains for the slot. */
  readonly retained: number;
  /** Age of the oldest transaction that is not ingested; 0 if all are. */
  readonly behindSeconds: number;
}

export interface SessionOptions {
  readonly url: string;
  /** Name of the slot and of the publication. */
  readonly slot: string;
  /** `source.name` of the changes. */
  readonly source: string;
  /** Names of the functions that the changes are read for. */
  readonly functions: readonly string[];
  /** Columns that they need, by table; null for all. */
  readonly tables: ReadonlyMap<string, ReadonlySet<string> | null>;
  readonly ingestor: Ingestor;
  readonly state: SourceState;
  /** Memory for changes that wait, in bytes. */
  readonly queueBytes: number;
  readonly log: Log;
  readonly onDelivered: (kind: 'change' | 'read', count: number) => void;
  readonly onProgress: (progress: WalProgress) => void;
  readonly onSlotLost: () => void;
}

/** What a session reports. */
interface SessionEvents {
  /** Changes are streamed. */
  started(): void;
  /** The server holds changes back, for this reason; null once it sends them again. */
  heldBack(why: string | null): void;
}

/** WalSession reads the source once: it prepares the slot, reads rows if needed, and streams until something fails. */
export class WalSession {
  readonly #options: SessionOptions;
  readonly #source: string;
  #stream: Stream | null = null;
  #delivery: Delivery | null = null;
  #client: pg.Client | null = null;
  #isStopped = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#source = options.source;
  }

  /**
   * Resolves with `taken` if another process reads the slot, and after {@link stop}. Rejects with the reason if it
   * ends before.
   */
  async run(events: SessionEvents): Promise<'taken' | 'stopped'> {
    const { url, slot } = this.#options;
    const client = await connect(url, `muster ${slot}`);
    this.#client = client;
    try {
      await requirePrimary(client);
      const position = await this.#prepare(client);
      if (position === null) return 'taken';
      if (this.#isStopped) return 'stopped';
      await this.#follow(client, position, events);
      return 'stopped';
    } finally {
      await disconnect(client);
    }
  }

  /** Acknowledges what is ingested, and closes. A snapshot is given up, to be repeated. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#stream !== null) return this.#stream.stop();
    this.#delivery?.stop(new Error('this process is stopping'));
    await this.#client?.end().catch(() => {});
  }

  /** Returns the position at which the slot is to be streamed; null if another process uses it. */
  async #prepare(client: pg.Client): Promise<bigint | null> {
    const { slot } = this.#options;
    // Only one process at a time prepares a slot: two would both take a snapshot. Ends with the connection.
    const { rows } = await client.query<{ isMine: boolean }>(
      `select pg_try_advisory_lock(hashtext('muster slot'), hashtext($1)) as "isMine"`,
      [slot],
    );
    if (!rows[0]!.isMine) return null;
    try {
      return await this.#prepareAlone(client);
    } finally {
      await client.query('select pg_advisory_unlock_all()').catch(() => {});
    }
  }

  async #prepareAlone(client: pg.Client): Promise<bigint | null> {
    const { slot: name, functions, state, log } = this.#options;
    const slot = await readSlot(client, name);
    if (slot?.isActive === true && slot.lost === null) {
      await requireSameFunctions(client, name, functions);
      return null;
    }
    const ingested = await state.ingestedUpTo(this.#source);
    if (ingested === null && slot !== null) throw foreignSlot(name);
    await requireContinuation(client, name, this.#source, ingested ?? 0n);
    const tables = await this.#readTables(client);
    const names = [...tables.keys()];
    const publication = await preparePublication(client, name, names, functions);
    const lost = whyUseless(slot, publication.isNew, ingested ?? 0n);
    if (lost !== null) await this.#renounce(client, slot, lost);
    const isNew = slot === null || lost !== null;
    const unread = isNew ? names : publication.unread;
    if (unread.length > 0) {
      const read = unread.map((each) => tables.get(each)!);
      log.info({ slot: name, tables: unread }, 'reading the rows of tables');
      await state.registerSource(this.#source);
      const at = await this.#readRows(client, read, isNew ? 'initial' : 'incremental');
      await noteAllRead(client, name, functions);
      await state.noteSnapshot(this.#source, at);
      log.info({ slot: name, tables: unread }, 'the rows of tables are read');
    }
    const ready = (await readSlot(client, name))!;
    if (ready.hasFailover === false) await this.#enableFailover();
    return ready.position;
  }

  async #readTables(client: pg.Client): Promise<Map<string, CapturedTable>> {
    const tables = new Map<string, CapturedTable>();
    for (const [name, needed] of this.#options.tables) {
      const table = await readTable(client, name);
      const lacking = [...(needed ?? [])].filter(
        (column) => !table.columns.some((each) => each.name === column),
      );
      if (lacking.length > 0) {
        throw new SourceError(
          `${name} of the source has no column ${lacking.join(', ')} that changes carry, which a part needs`,
        );
      }
      tables.set(name, capture(table, needed));
    }
    return tables;
  }

  /** Reports a slot whose changes are lost, and drops it: all rows are read again. */
  async #renounce(client: pg.Client, slot: Slot | null, why: string): Promise<void> {
    const { slot: name, log, onSlotLost } = this.#options;
    onSlotLost();
    log.error(
      { slot: name, why },
      'changes of the source were lost: all rows are read again. Rows that were deleted in the meantime stay in their sets until you run: muster reconcile <function> --repair',
    );
    if (slot !== null) await dropSlot(client, name);
  }

  /** Returns the time of the reads. */
  async #readRows(
    client: pg.Client,
    tables: readonly CapturedTable[],
    kind: 'initial' | 'incremental',
  ): Promise<number> {
    const { url, slot } = this.#options;
    const delivery = this.#deliver('read', SNAPSHOT_RETRY_MS);
    try {
      return await takeSnapshot(client, {
        url,
        slot,
        source: this.#source,
        tables,
        kind,
        delivery,
      });
    } finally {
      delivery.stop(new Error('the snapshot has ended'));
    }
  }

  #deliver(kind: 'change' | 'read', retryMs: number): Delivery {
    const { ingestor, queueBytes, log, onDelivered, slot } = this.#options;
    this.#delivery = new Delivery({
      ingestor,
      maxBytes: queueBytes,
      retryMs,
      onDelivered: (count) => onDelivered(kind, count),
      onRetry: (error) =>
        log.warn({ slot, error: errorText(error) }, 'changes could not be ingested, trying again'),
    });
    return this.#delivery;
  }

  async #enableFailover(): Promise<void> {
    const { url, slot, log } = this.#options;
    const replication = await connect(url, `muster ${slot}`, true);
    try {
      await enableFailover(replication, slot);
    } catch (error) {
      log.warn(
        { slot, error: errorText(error) },
        'the slot could not be marked for standbys: it would be lost in a failover',
      );
    } finally {
      await replication.end().catch(() => {});
    }
  }

  async #follow(client: pg.Client, position: bigint, events: SessionEvents): Promise<void> {
    const { url, slot, tables } = this.#options;
    const delivery = this.#deliver('change', STREAM_RETRY_MS);
    const options = { url, slot, source: this.#source, tables, delivery };
    const stream = new Stream(client, position, options);
    this.#stream = stream;
    const watching = new AbortController();
    const watch = this.#watch(client, stream, events, watching.signal);
    try {
      await Promise.race([stream.run(() => events.started()), watch]);
    } finally {
      watching.abort();
      watch.catch(() => {}); // not awaited: the source may not answer any more
      await stream.stop();
      delivery.stop(new Error('the stream has ended'));
    }
  }

  /** Measures the slot; rejects when it, or its publication, has been changed so that it must be prepared again. */
  async #watch(
    client: pg.Client,
    stream: Stream,
    events: SessionEvents,
    signal: AbortSignal,
  ): Promise<never> {
    const { slot: name, tables, onProgress } = this.#options;
    let sentAt = performance.now();
    let isHeldBack = false;
    for (;;) {
      await sleep(WATCH_MS, undefined, { signal });
      const slot = await withTimeout(readSlot(client, name), ANSWER_MS);
      if (slot === TIMED_OUT) throw new Error('the source does not answer any more');
      if (slot === null) throw new SourceError('the slot was dropped');
      onProgress({ retained: slot.retained, behindSeconds: stream.behindSeconds });
      if (slot.lost !== null) throw new SourceError(`the slot is lost: ${slot.lost}`);
      if (slot.awaited.length === 0) sentAt = performance.now();
      const wasHeldBack = isHeldBack;
      isHeldBack = performance.now() - sentAt > AWAITED_MS;
      if (isHeldBack) events.heldBack(whyHeldBack(slot.awaited));
      else if (wasHeldBack) events.heldBack(null);
      if (!(await publishes(client, name, [...tables.keys()]))) {
        throw new SourceError(`the publication ${name} does not publish all tables any more`);
      }
    }
  }
}
