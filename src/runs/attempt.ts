import type { SpanContext } from '@opentelemetry/api';
import { milliseconds } from '../lib/duration.ts';
import { failpoint } from '../lib/failpoint.ts';
import { checkEvent } from '../definitions/check-definition.ts';
import {
  type CompleteSet,
  type FunctionDefinition,
  type HandlerContext,
  type Log,
  type Member,
  type OutgoingEvent,
  TerminalError,
  type Tx,
} from '../function.ts';
import { LSN_BITS } from '../state/version.ts';
import { type RegisteredFunction } from '../definitions/registered-function.ts';
import type { StoredMember } from '../state/runs/load-members.ts';
import type { OutboxEvent } from '../state/runs/runs.ts';
import type { Lease } from '../state/lease.ts';
import { toTraceparent } from '../telemetry/trace.ts';
import { TimedOut } from './reasons.ts';
import { runIdOf } from './run-id.ts';
import { ownedBy } from './stray-errors.ts';

const LSN_MASK = (1n << LSN_BITS) - 1n;

/** Milliseconds one attempt of the function may take. */
export function timeoutMs(definition: FunctionDefinition): number {
  return milliseconds(definition.timeout ?? '5 minutes');
}

export interface AttemptOptions {
  readonly definition: FunctionDefinition;
  readonly served: RegisteredFunction;
  readonly lease: Lease;
  readonly members: readonly StoredMember[];
  readonly tx: Tx;
  readonly timeoutMs: number;
  /** Of this attempt: aborted when the lease is lost, at the end of a shutdown's grace, and by the time-out. */
  readonly abort: AbortController;
  readonly log: Log;
  readonly trace: SpanContext | null;
  /** The handler's call gave the event loop back after so many milliseconds. */
  readonly onCalled: (ms: number) => void;
}

/** Runs the handler once; gives back the events to publish, throws what the handler threw. */
export async function attempt(options: AttemptOptions): Promise<OutboxEvent[]> {
  const { definition, served, lease, abort } = options;
  const { signal } = abort;
  const timer = setTimeout(
    () => abort.abort(new TimedOut(`the attempt took longer than ${options.timeoutMs} ms`)),
    options.timeoutMs,
  );
  const context: HandlerContext = {
    tx: options.tx,
    runId: runIdOf(definition.name, lease),
    attempt: lease.attempt,
    signal,
    log: options.log,
    traceparent: options.trace === null ? null : toTraceparent(options.trace),
  };
  let isOver = false;
  const owner = {
    function: definition.name,
    runId: context.runId,
    fail(error: unknown) {
      if (isOver) return false;
      abort.abort(error);
      return true;
    },
  };
  try {
    // A handler that does not heed its signal is left behind: its transaction is closed, its lease ends.
    const events = await Promise.race([
      ownedBy(owner, () => {
        const calledAt = performance.now();
        const returned = handle(definition, toSet(served, lease, options.members), context);
        options.onCalled(performance.now() - calledAt);
        return returned;
      }),
      aborted(signal),
    ]);
    return toOutbox(definition.name, lease, events ?? []);
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}

async function handle(definition: FunctionDefinition, set: CompleteSet, context: HandlerContext) {
  failpoint('in-handler');
  return definition.handle(set, context);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

/** The set as its handler sees it. */
function toSet(
  served: RegisteredFunction,
  lease: Lease,
  members: readonly StoredMember[],
): CompleteSet {
  const { specification, partIndexOf } = served;
  const key: Record<string, string> = {};
  const parts: Record<string, Member[]> = {};
  let composite: string[] | undefined;
  for (const part of specification.parts) {
    const values =
      part.key.length === 1 ? [lease.key] : (composite ??= JSON.parse(lease.key) as string[]);
    part.key.forEach((column, i) => (key[column] = values[i]!));
    const partIndex = partIndexOf.get(part.name);
    parts[part.name] = members.filter((member) => member.partIndex === partIndex).map(toMember);
  }
  return { function: specification.name, key, keyText: lease.key, revision: lease.revision, parts };
}

function toMember({ id, columns, version, since, unavailable }: StoredMember): Member {
  return { id, row: columns, lsn: lsnOf(version), since, unavailable };
}

/** Null for what a snapshot read. */
function lsnOf(version: string): string | null {
  if (version === '0' || version.startsWith('-')) return null;
  // most have the first epoch, so that nothing is to be cut off
  return version.length < 17 ? version : String(BigInt(version) & LSN_MASK);
}

/**
 * What a handler returned, as it is stored. A property that no event has is refused rather than dropped,
 * and at once: the handler would return the same the next time.
 */
function toOutbox(fn: string, lease: Lease, returned: unknown): OutboxEvent[] {
  if (!Array.isArray(returned)) {
    throw new TerminalError(
      `the handler of ${fn} returned ${typeof returned === 'object' ? 'an object' : `a ${typeof returned}`}: return an array of events, or nothing`,
    );
  }
  const problems: string[] = [];
  for (const [i, event] of (returned as unknown[]).entries()) {
    checkEvent(event, (problem) => problems.push(`event ${i}: ${problem}`));
  }
  if (problems.length > 0) {
    throw new TerminalError(`the handler of ${fn} returned no events: ${problems.join('; ')}`);
  }
  return (returned as OutgoingEvent[]).map((event, i) => {
    return {
      eventId: `${runIdOf(fn, lease)}/${i}`,
      type: event.type,
      subject: event.subject ?? lease.key,
      data: toJson(event.data),
    };
  });
}

/** A bigint, as rows have beyond 2^53, is written as the number it is. */
function toJson(data: unknown): string | null {
  let text: string | undefined;
  try {
    text = JSON.stringify(data, (_key, value: unknown) =>
      typeof value === 'bigint' ? JSON.rawJSON(String(value)) : value,
    );
  } catch (error) {
    throw new TerminalError(`data of an event is not JSON: ${(error as Error).message}`);
  }
  return text ?? null;
}
