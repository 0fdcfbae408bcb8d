import pg from 'pg';
import {
  all,
  any,
  defineFunction,
  type FunctionDefinition,
  type HandlerContext,
  type OutgoingEvent,
} from '../../src/function.ts';

/**
 * The tables that handlers write: `started` as soon as an attempt starts, whatever its outcome, and `effect` in
 * the handler's transaction. There is no unique constraint, so that an effect that happens twice is recorded
 * twice.
 */
export const TRACES = `
  create table started (run text not null, attempt int not null, pid int not null);
  create table effect (run text not null, attempt int not null, pid int not null);
`;

/** The key of a gate: a handler waits there while a test holds the advisory lock. */
export function gateOf(key: string, attempt: number): string {
  return `${key} attempt ${attempt}`;
}

let traces: pg.Pool | null = null;

async function trace(text: string, values: unknown[]): Promise<void> {
  if (traces === null) {
    traces = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 20 });
    traces.on('error', () => {});
  }
  await traces.query(text, values);
}

async function handle(key: string, { tx, runId, attempt }: HandlerContext) {
  const values = [runId, attempt, process.pid];
  await trace('insert into started values ($1, $2, $3)', values);
  if (key.startsWith('floating')) {
    leaveUnhandled(key);
    await new Promise(() => {});
  }
  if (key.startsWith('blocker')) block(key === 'blocker for ever' ? Infinity : 3_000);
  if (key.startsWith('killer')) process.kill(process.pid, 'SIGKILL');
  if (key.startsWith('gated')) {
    const gate = [gateOf(key, attempt)];
    await trace(
      'select pg_advisory_lock_shared(hashtext($1)), pg_advisory_unlock_shared(hashtext($1))',
      gate,
    );
  }
  if (key.startsWith('slow')) await trace('select pg_sleep(0.05)', []);
  if (!key.endsWith('without writes')) {
    await tx.query('insert into effect values ($1, $2, $3)', values);
  }
  return [{ type: 'set.handled' }];
}

/** Unhandled errors, which are thrown after the handler's first turn. */
function leaveUnhandled(key: string): void {
  const error = new Error(`left by ${key}`);
  if (key === 'floating rejection') {
    void trace('select pg_sleep(0.01)', []).then(() => Promise.reject(error));
  }
  if (key === 'floating exception') {
    setTimeout(() => {
      throw error;
    }, 10);
  }
}

/** Blocks the event loop. */
function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

const partsOf = <const T extends string>(table: T) =>
  ({
    a: { table, key: 'k', where: { kind: 'a' } },
    b: { table, key: 'k', where: { kind: 'b' } },
  }) as const;

/** Runs that are created with a lease: the process that completes a set starts its handler. */
const pair = defineFunction({
  name: 'pair',
  parts: partsOf('public.item'),
  // A new release has another definition.
  complete: process.env['RULE'] === 'any' ? any('a', 'b') : all('a', 'b'),
  retry: { attempts: 50, first: '10 milliseconds', max: '20 milliseconds' },
  handle: (set, context) => handle(set.keyText, context),
});

/** Runs that are always claimed, because the function has a concurrency limit. */
const bounded = defineFunction({
  name: 'bounded',
  parts: partsOf('public.bounded'),
  concurrency: 4,
  retry: { attempts: 2, first: '10 milliseconds', max: '20 milliseconds' },
  handle: (set, context) => handle(set.keyText, context),
});

/** A function with a short timeout. */
const brief = defineFunction({
  name: 'brief',
  parts: partsOf('public.brief'),
  timeout: '1 second',
  retry: { attempts: 50, first: '10 milliseconds', max: '20 milliseconds' },
  handle: (set, context) => handle(set.keyText, context),
});

/** A function whose handler gets several sets. */
const batched = defineFunction({
  name: 'batched',
  parts: partsOf('public.batched'),
  batch: { size: 10, wait: '50 milliseconds' },
  retry: { attempts: 50, first: '10 milliseconds', max: '20 milliseconds' },
  async handleAll(sets, context) {
    const events: OutgoingEvent[][] = [];
    for (const set of sets) {
      events.push(await handle(set.keyText, { ...context, ...set }));
    }
    return events;
  },
});

export const definitions: readonly FunctionDefinition[] = [pair, bounded, brief, batched];
