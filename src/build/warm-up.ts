import { execFileSync, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { knownFunctions } from '../definitions/function-files.ts';
import { freePort } from '../local/port.ts';
import { startPostgres } from '../local/postgres/postgres.ts';
import { Readiness } from '../local/readiness.ts';
import type { FunctionDefinition } from '../function.ts';
import { exampleEvent } from '../definitions/example-event.ts';
import { exampleRow } from '../definitions/example-row.ts';
import { isSetFunction, loadFunctions } from '../definitions/load-functions.ts';
import { specify } from '../definitions/specification.ts';
import { isMessagePart, isTablePart } from '../definitions/streams.ts';

type Columns = Readonly<Record<string, unknown>>;

/** QEMU, which translates the code of another architecture. */
export interface Emulator {
  /** The command that starts a program; empty if the kernel knows it. */
  readonly command: readonly string[];
  /** The root under which programs find their libraries. */
  readonly sysroot: string;
}

/** How to run the bundle: the Node binary and the user. */
export interface Runtime {
  /** Columns of the posted rows, in addition to ids, keys and filters. */
  readonly columns?: Columns;
  readonly node?: string;
  /** Starts a Node of another architecture. */
  readonly emulator?: Emulator;
  readonly user?: { readonly uid: number; readonly gid: number };
  /** Whether the functions are paused, so that no handler runs: it may have effects elsewhere. */
  readonly isPaused?: boolean;
}

/**
 * Runs a bundle once, from migration to SIGTERM, with its functions and its console, on a temporary
 * database, with an event for every part and a collector for its traces, while Node writes the code it
 * compiles to `cache` (with the cache the first event is answered after 110 ms, from the sources after
 * 320). This also proves that the result of the build works: if a step fails, the build fails.
 *
 * Node keeps a separate cache for each version and user, and reads no other.
 */
export async function warmUp(folder: string, cache: string, runtime: Runtime = {}): Promise<void> {
  const { node = process.execPath, emulator, user, columns = {}, isPaused = false } = runtime;
  const home = mkdtempSync(join(tmpdir(), 'muster-bundle-'));
  const postgres = await startPostgres({ folder: home });
  const port = await freePort();
  const collector = createServer((request, response) => {
    request.resume().once('end', () => response.end());
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  let traces = 0;
  const readiness = new Readiness();
  collector.on('request', ({ url }: IncomingMessage) => (traces += Number(url === '/v1/traces')));
  const env = {
    PATH: process.env['PATH'],
    QEMU_LD_PREFIX: emulator?.sysroot,
    NODE_COMPILE_CACHE: cache,
    NODE_COMPILE_CACHE_PORTABLE: '1',
    CODE_CACHE: 'write',
    DATABASE_URL: postgres.url,
    HOST: '127.0.0.1',
    PORT: String(port),
    LOG_LEVEL: 'error',
    ...readiness.env,
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
  };
  const [program, ...first] = [...(emulator?.command ?? []), node, join(folder, 'muster.js')];
  const options = { env, stdio: ['ignore', 'ignore', 'inherit'], ...user } satisfies SpawnOptions;
  const run = (...args: string[]) => execFileSync(program, [...first, ...args], options);
  try {
    run('migrate');
    const definitions = await loadFunctions(knownFunctions());
    const functions = definitions.filter(isSetFunction);
    if (isPaused) for (const { name } of functions) run('pause', name);
    // Projections read topics, of which there are none here.
    const isServed = functions.length > 0;
    for (const [command, exercise] of [
      ['serve', (each: string) => exerciseIntake(each, functions, columns)],
      ['console', exerciseConsole],
    ] as const) {
      if (command === 'serve' && !isServed) continue;
      const child = spawn(program, [...first, command], options);
      const exit = once(child, 'exit');
      const url = `http://127.0.0.1:${port}`;
      await ready(() => readiness.at(url), child)
        .then(() => exercise(url))
        .finally(() => child.kill('SIGTERM'));
      const [code, signal] = (await exit) as [number | null, NodeJS.Signals | null];
      if (code !== 0) throw new Error(`the bundle's ${command} exited with ${code ?? signal}`);
    }
    if (isServed && traces === 0) throw new Error('the bundle sent no traces');
    // Node makes the cache readable only for its user; in the image it belongs to root.
    for (const entry of readdirSync(cache, { recursive: true, withFileTypes: true })) {
      chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
    }
  } finally {
    collector.closeAllConnections();
    collector.close();
    await postgres.stop();
    for (const left of new Set([postgres.folder, home])) {
      rmSync(left, { recursive: true, force: true });
    }
  }
}

async function ready(isReady: () => Promise<boolean>, child: ChildProcess): Promise<void> {
  for (; !(await isReady()); await sleep(10)) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('the bundle exited');
  }
}

async function exerciseIntake(
  url: string,
  functions: readonly FunctionDefinition[],
  columns: Columns,
): Promise<void> {
  for (const change of changesOf(functions, columns)) {
    const { status } = await fetch(url, { method: 'POST', ...change });
    if (status !== 204) throw new Error(`the bundle answered ${status} to a change`);
  }
}

async function exerciseConsole(url: string): Promise<void> {
  for (const path of ['/', '/api/docs/', '/api/docs/json', '/api/docs/static/swagger-ui.css']) {
    const response = await fetch(url + path);
    await response.arrayBuffer(); // an unread body keeps its connection open
    if (!response.ok) throw new Error(`the bundle answered ${response.status} to ${path}`);
  }
}

/** Returns a row for every part, all in one set of each function, as a KafkaSource would post them. */
function changesOf(
  functions: readonly FunctionDefinition[],
  columns: Columns,
): { headers: Record<string, string>; body: string }[] {
  const parts = functions.flatMap((each) => specify(each).parts);
  const otherParts = parts.filter(isMessagePart);
  return parts.map((part, i) => {
    if (!isTablePart(part)) {
      const event = exampleEvent(part, otherParts, { n: i, key: 'warm-up', at: Date.now() });
      return {
        headers: { 'content-type': 'application/cloudevents+json' },
        body: JSON.stringify(event),
      };
    }
    const [schema, table] = part.table.split('.');
    const row = exampleRow(part, parts.filter(isTablePart), { id: `warm-up ${i}`, key: 'warm-up' });
    const source = { name: 'warm-up', schema, table, lsn: i + 1, ts_ms: Date.now() };
    return {
      headers: {
        'ce-specversion': '1.0',
        'ce-id': `warm-up/${i}`,
        'ce-source': '/muster/build',
        'ce-type': 'dev.knative.kafka.event',
      },
      body: JSON.stringify({
        op: 'c',
        before: null,
        after: Object.assign(row, columns),
        source,
      }),
    };
  });
}
