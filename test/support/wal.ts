import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { onTestFinished } from 'vitest';
import type { FunctionDefinition } from '../../src/function.ts';
import type { Count } from '../../src/intake/http-error.ts';
import { type FollowedChange, followTables } from '../../src/local/follow-tables.ts';
import { startWalIntake } from '../../src/process/wal-intake.ts';
import { configOn, engineOn, type TestEngine } from './engine.ts';
import type { TestDatabase } from './test.ts';
import { until } from './until.ts';

/** An engine that reads the log of a source. */
export interface TestReader extends TestEngine {
  readonly slot: string;
  /** Why nothing is read. */
  trouble(): string | null;
  /** Resolves when changes are streamed. */
  reading(): Promise<void>;
  /** Stops the reader alone. */
  interrupt(): Promise<void>;
  /** Stops the reader and the engine. */
  stop(): Promise<void>;
}

/** Returns a new name for a slot, which is unique on the server. */
export function newSlot(): string {
  return `t_${randomUUID().replaceAll('-', '').slice(0, 12)}`;
}

/** Reads the tables of `source`, by default the test's database, into the test's database. */
export async function readerOn(
  db: TestDatabase,
  definitions: readonly FunctionDefinition[],
  { slot = newSlot(), source = db, settings = {} }: ReaderOptions = {},
): Promise<TestReader> {
  const engine = await engineOn(db, definitions, settings);
  const { metrics, lines } = engine;
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, ...fields });
  const count: Count = (name, labels) =>
    (metrics[name] as { inc(labels: object): void }).inc(labels);
  const intake = startWalIntake({
    config: configOn(db, { SOURCE_DATABASE_URL: source.url, WAL_SLOT: slot, ...settings }),
    functions: definitions,
    ingestor: engine.ingestor,
    log: { info: write('info'), warn: write('warn'), error: write('error') },
    metrics,
    count,
  });
  const isReading = async () => (await metrics.walReading.get()).values[0]?.value === 1;
  let stopping: Promise<void> | undefined;
  const reader: TestReader = {
    ...engine,
    slot,
    trouble: () => intake.trouble(),
    async reading() {
      // A new slot waits for the transactions that other tests have open on this server.
      await until(isReading, 25_000).catch((error: Error) => {
        throw new Error(`${error.message}: ${intake.trouble() ?? 'no trouble'}`, { cause: error });
      });
    },
    interrupt: () => intake.stop(),
    stop: () => (stopping ??= intake.stop().then(() => engine.stop())),
  };
  onTestFinished(async () => {
    await reader.stop();
    await dropSlot(source, slot);
  });
  return reader;
}

export interface ReaderOptions {
  readonly slot?: string;
  readonly source?: TestDatabase;
  readonly settings?: Record<string, string>;
}

/** The changes of a table, as the reader of the log hands them over. */
export interface TestFollower {
  readonly changes: readonly FollowedChange[];
  /** What was reported: changes that can't be read, and reasons why nothing is read. */
  readonly said: readonly string[];
  /** Changes are delivered only when their number is passed to `release`, from now on. */
  hold(): void;
  release(index: number): void;
  reading(): Promise<void>;
  /** Gives up what is not delivered, acknowledges the rest, and leaves the slot. */
  stop(): Promise<void>;
}

/** Follows a table of the test's database without a state. */
export function followerOn(
  db: TestDatabase,
  table: string,
  slot: string,
  deliver: (change: FollowedChange) => void = () => {},
): TestFollower {
  const changes: FollowedChange[] = [];
  const said: string[] = [];
  const held = new Map<number, PromiseWithResolvers<void>>();
  let isHolding = false;
  let isReading = false;
  const intake = followTables({
    url: db.url,
    slot,
    source: 'postgres',
    tables: [table],
    async deliver(change) {
      const index = changes.push(change) - 1;
      deliver(change);
      if (!isHolding) return;
      held.set(index, Promise.withResolvers());
      await held.get(index)!.promise;
    },
    say: (line) => said.push(line),
    onTrouble: (why) => said.push(why),
    onReading: () => (isReading = true),
  });
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= intake.stop();
    for (const { reject } of held.values()) reject(new DOMException('stopped', 'AbortError'));
    return stopping;
  };
  onTestFinished(async () => {
    await stop();
    await dropSlot(db, slot);
  });
  return {
    changes,
    said,
    hold: () => void (isHolding = true),
    release: (index) => held.get(index)!.resolve(),
    async reading() {
      await until(() => isReading, 25_000);
    },
    stop,
  };
}

/** Ends the reader of a slot, if there is one, and drops the slot, if it exists. */
export async function dropSlot(source: { readonly url: string }, slot: string): Promise<void> {
  const client = new pg.Client(source.url);
  await client.connect(); // the test's own pool may be closed
  try {
    await until(async () => {
      const { rows } = await client.query<{ active: boolean }>(
        'select active, pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1',
        [slot],
      );
      return rows[0]?.active !== true;
    });
    await client.query(
      'select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1',
      [slot],
    );
  } finally {
    await client.end();
  }
}

/** Resolves when the reader has acknowledged everything that the source has committed until now. */
export async function caughtUp(source: TestDatabase, slot: string): Promise<void> {
  const [now] = await source.query<{ at: string }>('select pg_current_wal_insert_lsn() as at');
  await until(async () => {
    const rows = await source.query(
      'select from pg_replication_slots where slot_name = $1 and confirmed_flush_lsn >= $2',
      [slot, now!.at],
    );
    return rows.length > 0;
  }, 30_000);
}
