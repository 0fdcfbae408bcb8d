import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { HTTP, type CloudEvent } from 'cloudevents';
import { readConfig } from './config/config.ts';
import { startEngine } from './process/engine.ts';
import type { FunctionDefinition, Log } from './function.ts';
import type { Arrival } from './author/arrivals.ts';
import { streamOfArrival, toChange } from './process/arrivals.ts';
import { createMetrics } from './process/metrics.ts';
import { createTestDatabase, type TestDatabase } from './local/test-database.ts';
import { openDatabase, queriesOf, type Database } from './state/database/database.ts';
import { specify, type Specification } from './definitions/specification.ts';
import { explain } from './state/queries/explain.ts';
import type { Explanation } from './state/queries/explanation.ts';
import { migrate } from './state/schema/migrate.ts';

export { createTestDatabase, type TestDatabase };
export type * from './author/arrivals.ts';

/** The state of a function after it has run on rows, events and records. */
export interface RunResult<P extends string, K extends string> {
  /** Every set of the function, sorted by key. */
  readonly sets: readonly {
    readonly key: Readonly<Record<K, string>>;
    readonly status: Explanation['status'];
    readonly missing: readonly P[];
  }[];
  /**
   * Events that handlers returned and that were published during this call, in the order in which they were
   * sent. Muster's own events (`muster.set.…`) are left out; `sets` and `errors` tell the same.
   */
  readonly events: readonly {
    readonly type: string;
    readonly subject: string;
    readonly data: unknown;
  }[];
  /**
   * Last error of each handler whose set is not done, then of each event that could not be published, then of
   * each row, event or record that could not be ingested.
   */
  readonly errors: readonly string[];
}

export interface RunFunctionOptions {
  /**
   * URL of a PostgreSQL database (16 or newer), which is also the one that `tx` reads and writes. Default: a new
   * database for this call; see {@link createTestDatabase}.
   */
  readonly databaseUrl?: string;
}

/**
 * Runs a function on rows, events and records, for its author's tests. It uses the whole engine on a real database, without Kafka
 * and HTTP: it migrates the database, ingests everything one after the other, waits until no run is due or
 * running, and returns the result. A run that waits for its next attempt is not waited for; its set is
 * `complete`, with the error of the last attempt.
 *
 * The state stays in the database: when it is called again, equal rows are a replay, and new ones need an
 * `lsn` above those of the first call.
 */
export async function runFunction<P extends string, K extends string>(
  fn: FunctionDefinition<P, K>,
  rows: readonly Arrival[],
  { databaseUrl }: RunFunctionOptions = {},
): Promise<RunResult<P, K>> {
  if (databaseUrl !== undefined) return runOn(databaseUrl, fn, rows);
  await using db = await createTestDatabase();
  return await runOn(db.url, fn, rows);
}

async function runOn<P extends string, K extends string>(
  databaseUrl: string,
  fn: FunctionDefinition<P, K>,
  rows: readonly Arrival[],
): Promise<RunResult<P, K>> {
  const definition = fn as unknown as FunctionDefinition;
  await migrate(databaseUrl, [fn.name]);
  const events: RunResult<P, K>['events'][number][] = [];
  const sink = await startSink(events);
  const config = readConfig({
    DATABASE_URL: databaseUrl,
    K_SINK: `http://127.0.0.1:${(sink.address() as AddressInfo).port}`,
    DRAIN_SECONDS: '0',
  });
  const database = openDatabase({
    url: databaseUrl,
    writers: 1,
    handlers: 1,
    handlerIdleMs: 60_000,
    statementTimeoutMs: 60_000,
    onIdleError: () => {},
  });
  const notIngested: string[] = [];
  try {
    const engine = await startEngine(config, [definition], SILENT, createMetrics());
    try {
      for (const [i, row] of rows.entries()) {
        const change = toChange(row, i + 1);
        if (change === null) continue;
        const outcome = await engine.ingestor.ingest(change);
        if (outcome.kind === 'parked') notIngested.push(`row ${i + 1}: ${outcome.detail}`);
        if (outcome.kind === 'unwanted') {
          notIngested.push(`row ${i + 1}: no part of ${fn.name} is on ${streamOfArrival(row)}`);
        }
      }
      while (await isBusy(database, fn.name)) await sleep(10);
    } finally {
      await engine.stop();
    }
    const explained = await explainAll(database, fn.name);
    const specification = specify(definition);
    return {
      sets: explained.map((set) => ({
        key: keyOf(specification, set.key) as Record<K, string>,
        status: set.status,
        missing: set.missing as P[],
      })),
      events,
      errors: [
        ...explained.flatMap(({ run }) => run?.lastError ?? []),
        ...(await unpublished(database, fn.name)),
        ...notIngested,
      ],
    };
  } finally {
    await database.close();
    sink.closeAllConnections();
    sink.close();
  }
}

const SILENT: Log = { info() {}, warn() {}, error() {} };
/** Starts a sink that accepts every event and collects those of handlers. */
async function startSink(
  events: { type: string; subject: string; data: unknown }[],
): Promise<Server> {
  const server = createServer(async (request, response) => {
    const { headers } = request;
    const body = (await buffer(request)).toString();
    const { type, subject = '' } = HTTP.toEvent({ headers, body }) as CloudEvent<unknown>;
    // The SDK's `data` would be text where the JSON is a number, true or null.
    const json = body === '' ? undefined : (JSON.parse(body) as { data?: unknown });
    const data = 'ce-id' in headers ? json : json?.data;
    if (!type.startsWith('muster.set.')) events.push({ type, subject, data });
    response.writeHead(204).end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

/** Whether a run is due or running, or an event has not been tried yet. A retry that waits does not count. */
async function isBusy(database: Database, fn: string): Promise<boolean> {
  const { rows } = await database.control.query<{ busy: boolean }>(
    `select exists (select from muster.queue q where q.function = f.id and q.due_at <= now())
         or exists (select from muster.leased l where l.function = f.id)
         or exists (select from muster.outbox o where o.function = f.id
                    and o.sent_at is null and o.failed_at is null
                    and not exists (select from muster.outbox lower
                                    where lower.function = o.function and lower.key = o.key and lower.id <= o.id
                                      and lower.sent_at is null and lower.failed_at is null and lower.error is not null))
            as busy
     from muster.function f where f.name = $1`,
    [fn],
  );
  return rows[0]?.busy ?? false;
}

/** Describes the events that could not be published. */
async function unpublished(database: Database, fn: string): Promise<string[]> {
  const { rows } = await database.control.query<{ id: string; error: string }>(
    `select o.event_id as id, o.error from muster.outbox o join muster.function f on f.id = o.function
     where f.name = $1 and o.sent_at is null and o.error is not null order by o.id`,
    [fn],
  );
  return rows.map(({ id, error }) => `event ${id}: ${error}`);
}

async function explainAll(database: Database, fn: string): Promise<Explanation[]> {
  const { rows } = await database.control.query<{ key: string }>(
    `select s.key from muster.sets s join muster.function f on f.id = s.function
     where f.name = $1 order by s.key`,
    [fn],
  );
  return Promise.all(
    rows.map(async ({ key }) => (await explain(queriesOf(database.control), fn, key))!),
  );
}

/** Key columns as a handler receives them; parts may name the columns of one key differently. */
function keyOf({ parts }: Specification, key: string): Record<string, string> {
  return Object.fromEntries(
    parts.flatMap((part) => {
      const values = part.key.length === 1 ? [key] : (JSON.parse(key) as string[]);
      return part.key.map((column, i) => [column, values[i]!]);
    }),
  );
}
