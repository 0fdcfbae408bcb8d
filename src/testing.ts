import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { HTTP, type CloudEvent } from 'cloudevents';
import { readConfig } from './config/config.ts';
import { startEngine } from './process/engine.ts';
import type { FunctionDefinition, Log } from './function.ts';
import { createMetrics } from './process/metrics.ts';
import type { RowChange } from './state/change.ts';
import { openDatabase, type Database } from './state/database/database.ts';
import { specify, type Specification } from './definitions/specification.ts';
import { explain, type Explanation } from './state/queries/explain.ts';
import { migrate } from './state/schema/migrate.ts';

/** A change of one row, as it arrives. */
export interface ArrivingRow {
  /** `schema.table` of the source database. */
  readonly table: string;
  /** Columns as Debezium would send them; for a delete its primary key is enough. */
  readonly row: Readonly<Record<string, unknown>>;
  /** c create (unless given), u update, d delete, r read by the initial snapshot. */
  readonly op?: 'c' | 'u' | 'd' | 'r';
  /**
   * Position in the source's log: the order in which things happened, where that is not the order in
   * which they arrive. The row's place in the list, from 1, unless given.
   */
  readonly lsn?: number;
}

/** How it all stands after a function has run on rows. */
export interface Happened<P extends string, K extends string> {
  /** Every set of the function, sorted by key. */
  readonly sets: readonly {
    readonly key: Readonly<Record<K, string>>;
    readonly status: Explanation['status'];
    readonly missing: readonly P[];
  }[];
  /**
   * Events of handlers that were published during this call, in the order in which they were sent.
   * What Muster reports of its own (`muster.set.…`) is in `sets` and `errors`.
   */
  readonly events: readonly {
    readonly type: string;
    readonly subject: string;
    readonly data: unknown;
  }[];
  /**
   * What handlers threw last in sets that are not done, then why events could not be published, then why
   * rows could not be ingested.
   */
  readonly errors: readonly string[];
}

export interface RunFunctionOptions {
  /** A PostgreSQL 18 database; whatever `handle` reads and writes through `tx` is in it too. */
  readonly databaseUrl: string;
}

/**
 * Runs a function on rows, for its author's tests: the whole engine on a real database, everything
 * but Kafka and HTTP. Migrates the database, files the rows one after the other, waits until no run
 * is due or under way, and says what happened. A run that rests before its next attempt is left
 * resting, as `complete` with its error.
 *
 * State stays: called again on the same database, equal rows are a replay and new ones need `lsn`s
 * above the old.
 */
export async function runFunction<P extends string, K extends string>(
  fn: FunctionDefinition<P, K>,
  rows: readonly ArrivingRow[],
  { databaseUrl }: RunFunctionOptions,
): Promise<Happened<P, K>> {
  const definition = fn as unknown as FunctionDefinition;
  await migrate(databaseUrl, [fn.name]);
  const events: Happened<P, K>['events'][number][] = [];
  const sink = await listen(events);
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
  const refused: string[] = [];
  try {
    const engine = await startEngine(config, [definition], SILENT, createMetrics());
    try {
      for (const [i, row] of rows.entries()) {
        const outcome = await engine.ingestor.ingest(toChange(row, i + 1));
        if (outcome.kind === 'parked') refused.push(`row ${i + 1}: ${outcome.detail}`);
        if (outcome.kind === 'unwanted') {
          refused.push(`row ${i + 1}: no part of ${fn.name} is on ${row.table}`);
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
        ...refused,
      ],
    };
  } finally {
    await database.close();
    sink.closeAllConnections();
    sink.close();
  }
}

const SILENT: Log = { info() {}, warn() {}, error() {} };
/** Positions are given within one log, so their times are too: a millisecond each. */
const LOG_BEGAN = Date.UTC(2026, 0, 1);

function toChange({ table, row, op = 'c', lsn }: ArrivingRow, place: number): RowChange {
  const position = lsn ?? place;
  return {
    kind: 'row',
    op,
    source: 'rows',
    table,
    lsn: BigInt(position),
    at: LOG_BEGAN + position,
    handledAt: LOG_BEGAN + position,
    lastCommit: null,
    snapshot: op === 'r' ? 'initial' : null,
    row,
    origin: {
      attributes: { source: '/rows', id: String(place) },
      contentType: 'application/json',
      body: Buffer.from(JSON.stringify(row)),
    },
  };
}

/** A sink that takes everything. */
async function listen(events: { type: string; subject: string; data: unknown }[]): Promise<Server> {
  const server = createServer(async (request, response) => {
    const { headers } = request;
    const body = (await buffer(request)).toString();
    const { type, subject = '' } = HTTP.toEvent({ headers, body }) as CloudEvent<unknown>;
    // not `data` of the SDK, which leaves a number, true or null in JSON as text
    const json = body === '' ? undefined : (JSON.parse(body) as { data?: unknown });
    const data = 'ce-id' in headers ? json : json?.data;
    if (!type.startsWith('muster.set.')) events.push({ type, subject, data });
    response.writeHead(204).end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

/** Is a run due or under way, or an event still to be tried? One that could not be sent rests, as a run does. */
async function isBusy(database: Database, fn: string): Promise<boolean> {
  const { rows } = await database.control.query<{ busy: boolean }>(
    `select exists (select from muster.run r where r.function = f.id
                    and (r.state = 'running' or r.state = 'ready' and r.complete and r.due_at <= now()))
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

/** Why events were not published. */
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
  return Promise.all(rows.map(async ({ key }) => (await explain(database, fn, key))!));
}

/** As a handler gets it: parts may have columns of different names for one key. */
function keyOf({ parts }: Specification, key: string): Record<string, string> {
  return Object.fromEntries(
    parts.flatMap((part) => {
      const values = part.key.length === 1 ? [key] : (JSON.parse(key) as string[]);
      return part.key.map((column, i) => [column, values[i]!]);
    }),
  );
}
