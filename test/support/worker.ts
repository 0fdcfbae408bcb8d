import { randomUUID } from 'node:crypto';
import { onTestFinished } from 'vitest';
import type { FunctionDefinition } from '../../src/function.ts';
import { Batcher } from '../../src/state/ingest/batcher.ts';
import { openDatabase, type Database } from '../../src/state/database/database.ts';
import { specify } from '../../src/definitions/specification.ts';
import { ChangeIngestor } from '../../src/state/ingest/change-ingestor.ts';
import { LogPositions } from '../../src/state/ingest/log-positions.ts';
import type { RegisteredFunction } from '../../src/definitions/registered-function.ts';
import { register } from '../../src/state/registration/register.ts';
import { Runs } from '../../src/state/runs/runs.ts';
import { Store, type IngestedBatch } from '../../src/state/ingest/store.ts';
import { type Lease } from '../../src/state/lease.ts';
import type { TestDatabase } from './test.ts';

/** A worker as the state database sees it: it ingests changes and receives leases, but runs no handlers. */
export interface TestWorker {
  /** Worker id under which it holds leases. A test may change it, as a worker does that was reaped. */
  id: string;
  /** Maximum number of runs that each of its batches may lease to it. */
  slots: number;
  /** Maximum number of runs that it may lease beyond them. */
  ahead: number;
  /** Leases that its batches returned, oldest first. */
  readonly leases: Lease[];
  /** Results of its batches, oldest first. */
  readonly ingested: IngestedBatch[];
  readonly database: Database;
  readonly served: readonly RegisteredFunction[];
  readonly store: Store;
  readonly ingestor: ChangeIngestor;
  readonly positions: LogPositions;
  readonly runs: Runs;
  /** Closes its connections. Otherwise the end of the test does. */
  close(): Promise<void>;
}

export interface WorkerOptions {
  readonly slots?: number;
  readonly writers?: number;
  readonly maxBytes?: number;
}

type Definitions = readonly FunctionDefinition<never, never>[] | readonly FunctionDefinition[];

/** Registers the functions and starts a worker on the test's database. It is closed when the test ends. */
export async function workerOn(
  db: Pick<TestDatabase, 'url'>,
  definitions: Definitions,
  options: WorkerOptions = {},
): Promise<TestWorker> {
  const database = databaseOn(db, options.writers ?? 1);
  const served: RegisteredFunction[] = [];
  for (const each of definitions as readonly FunctionDefinition[]) {
    served.push(await register(database, specify(each)));
  }
  const worker = await workerWith(database, served, options);
  onTestFinished(() => worker.close());
  return worker;
}

/** Opens the test's database. The caller must close it. */
export function databaseOn(db: Pick<TestDatabase, 'url'>, writers = 1): Database {
  return openDatabase({
    url: db.url,
    writers,
    handlers: 4,
    chunks: 4,
    statementTimeoutMs: 20_000,
    handlerIdleMs: 600_000,
    onIdleError: () => {},
  });
}

/** Starts a worker of functions that are already registered. */
export async function workerWith(
  database: Database,
  served: readonly RegisteredFunction[],
  options: WorkerOptions = {},
): Promise<TestWorker> {
  const runs = new Runs(database, served);
  const leases: Lease[] = [];
  const ingested: IngestedBatch[] = [];
  const store = new Store(database, served, () => worker.id);
  const slots = {
    reserve: () => ({ slots: worker.slots, ahead: worker.ahead, batched: [] }),
    start: (given: readonly Lease[]) => void leases.push(...given),
  };
  const batcher = new Batcher(store, slots, {
    writers: options.writers ?? 1,
    maxBytes: options.maxBytes ?? 64 * 1024 * 1024,
    onIngested: (batch) => void ingested.push(batch),
    onSuperseded: () => {},
  });
  const positions = new LogPositions(database);
  const ingestor = new ChangeIngestor(database, store, batcher, positions, served);
  let closing: Promise<void> | undefined;
  const worker: TestWorker = {
    id: randomUUID(),
    slots: options.slots ?? 0,
    ahead: 0,
    leases,
    ingested,
    database,
    served,
    store,
    ingestor,
    positions,
    runs,
    close: () => (closing ??= database.close()),
  };
  await runs.register(worker.id, 'test', 600);
  return worker;
}
