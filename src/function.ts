/**
 * What the author of a function imports: which rows form a set, when the set is complete, and what to do
 * then. Parts and rules are data rather than callbacks, so that Muster can validate them at start, explain
 * why a set is incomplete, and query the source table with them.
 */
import type { Duration, Log, Tx } from './author/common.ts';
import type { KeyColumn, Only, OnlyEvents } from './author/exact-types.ts';
import type { Part, PartLike } from './author/parts.ts';
import type { ProjectionDefinition } from './author/projection.ts';

export * from './author/common.ts';
export * from './author/parts.ts';
export * from './author/projection.ts';

/** Holds when at least `atLeast` of its parts and inner rules hold. Made by {@link all}, {@link any} and {@link atLeast}. */
export interface Rule<P extends string = string> {
  readonly atLeast: number;
  readonly of: readonly (P | Rule<P>)[];
}

/** A rule that holds when every one of these parts and rules holds. */
export function all<const P extends string>(...of: (P | Rule<P>)[]): Rule<P> {
  return { atLeast: of.length, of };
}

/** A rule that holds when at least one of these parts and rules holds. */
export function any<const P extends string>(...of: (P | Rule<P>)[]): Rule<P> {
  return { atLeast: 1, of };
}

/** A rule that holds when at least `count` of these parts and rules hold. */
export function atLeast<const P extends string>(count: number, ...of: (P | Rule<P>)[]): Rule<P> {
  return { atLeast: count, of };
}

/** One source row, event or record of a complete set. */
export interface Member {
  /** Primary key or id as canonical text; if it is composite, a JSON array of its values. */
  readonly id: string;
  /** Kept columns by name, with values as they were sent. Integers beyond 2^53 are `bigint`. */
  readonly row: Readonly<Record<string, unknown>>;
  /**
   * Position in the source's log of the row's latest change; null if the row was read by a snapshot, and for events
   * and records.
   */
  readonly lsn: string | null;
  /** When the row joined the set, by the clock of the state database. */
  readonly since: Date;
  /**
   * Kept columns missing from `row` because the source never sent their value; usually empty. PostgreSQL
   * omits a value that is stored out of line and did not change, and no change that carried it has arrived.
   * `alter table … replica identity full` at the source makes it send every value.
   */
  readonly unavailable: readonly string[];
}

/** What a handler receives: all rows that share one key, once the rule holds. */
export interface CompleteSet<P extends string = string, K extends string = string> {
  /** Name of the function. */
  readonly function: string;
  /** Key values as canonical text, by column name. */
  readonly key: Readonly<Record<K, string>>;
  /** The key as one string: the value itself, or a JSON array of the values of a composite key. */
  readonly keyText: string;
  /** Number of this completion: 1 in most cases, higher if the set was forgotten before. Never reused for a key. */
  readonly revision: number;
  /** Member rows by part. */
  readonly parts: Readonly<Record<P, readonly Member[]>>;
}

/** What a handler receives beside its set. */
export interface HandlerContext {
  /** Begins at its first query, so a handler that does not use it holds no transaction open. */
  readonly tx: Tx;
  /**
   * Idempotency key for effects elsewhere: the same for all attempts of this revision, never reused, and
   * safe in an HTTP header.
   */
  readonly runId: string;
  /** Number of this attempt, from 1. */
  readonly attempt: number;
  /** Aborts on timeout, when the lease is lost, and when the grace period of a shutdown ends. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** W3C `traceparent` of this attempt, to pass to other services. Null if the attempt is not traced. */
  readonly traceparent: string | null;
}

/** One of the sets of a call of `handleAll`, with what a handler of single sets receives beside its set. */
export interface BatchedSet<P extends string = string, K extends string = string>
  extends CompleteSet<P, K>, Pick<HandlerContext, 'runId' | 'attempt' | 'traceparent'> {}

/** What `handleAll` receives beside its sets. `tx` is one transaction for all of them. */
export type BatchContext = Pick<HandlerContext, 'tx' | 'signal' | 'log'>;

/** How many sets one call of `handleAll` gets. */
export interface Batch {
  /** Maximum number of sets; at most 1,000. Few sets in a slot are not held back for it: see `wait`. */
  readonly size: number;
  /** How long a batch that is not full waits for further sets; at most a minute. Default: not at all. */
  readonly wait?: Duration;
}

/**
 * An event that a handler returns. It is sent after the run is committed as done, at least once, with an id
 * that stays the same when it is sent again.
 */
export interface OutgoingEvent {
  /** CloudEvents `type`. Must not be empty. */
  readonly type: string;
  /** CloudEvents `subject`. Default: the key of the set. */
  readonly subject?: string;
  /** Payload, serialized as JSON. Default: no payload. */
  readonly data?: unknown;
}

/**
 * How failed attempts are retried: exponential backoff from `first` up to `max`, of which half is random
 * jitter.
 */
export interface RetryPolicy {
  /**
   * Maximum number of attempts, after which the run is failed. Default: 10. An attempt counts once its
   * handler has started, unless a shutdown interrupts it or the state database fails.
   */
  readonly attempts?: number;
  /** Upper bound of the first delay. Default: 1 second. */
  readonly first?: Duration;
  /** Upper bound of every delay. Default: 5 minutes. */
  readonly max?: Duration;
}

/** A function: the parts of its sets, the rule that completes one, and the handler to run then. */
export interface FunctionDefinition<P extends string = string, K extends string = string> {
  /**
   * Up to 63 lower-case letters, digits and dashes: a letter first, no dash last. Equals the name of the file or
   * folder in `functions/`.
   */
  readonly name: string;
  /** Parts by name; from 1 to 16. */
  readonly parts: Readonly<Record<P, Part>>;
  /** Rule that makes a set complete. Default: all parts. */
  readonly complete?: Rule<P>;
  /**
   * A set that is still incomplete this long after its first row arrived is reported, with its missing
   * parts. Default: never.
   */
  readonly overdueAfter?: Duration;
  /**
   * What becomes of sets that the connector's initial snapshot finds complete: they count as done without a
   * run (`skip`, the default), or they run (`run`). Order of arrival makes no difference, with one exception:
   * where updates alone complete a set before any of its rows was read by the snapshot (deliveries were
   * reordered, by a retry for instance), it runs, once. At that moment these updates look like those of
   * rows that were created after the snapshot, and waiting for the snapshot would withhold such sets.
   */
  readonly history?: 'skip' | 'run';
  /** Timeout of one attempt, or of one call of `handleAll`. Default: 5 minutes; maximum: 24 days. */
  readonly timeout?: Duration;
  /** Default: the defaults of {@link RetryPolicy}. */
  readonly retry?: RetryPolicy;
  /** Maximum number of concurrent runs over all processes. Default: unlimited. Not together with `handleAll`. */
  readonly concurrency?: number;
  /**
   * How long a done set keeps its rows and the details of its run; the marker that it is done stays.
   * Default: 30 days.
   */
  readonly keepFor?: Duration;
  /**
   * When even the done marker is deleted. If the set arrives again after that, it runs again under the next
   * revision; revisions and run ids are never reused. Default: never.
   */
  readonly forgetAfter?: Duration;
  /**
   * Does the work. The events it returns are published. If it throws, the attempt is retried, except after a
   * {@link TerminalError}.
   *
   * A promise that it does not await and that rejects fails the attempt. A handler that computes for seconds
   * without yielding blocks everything else in its process, though its lease is kept.
   *
   * A function has either `handle` or `handleAll`.
   */
  handle?(set: CompleteSet<P, K>, context: HandlerContext): Result;
  /**
   * Does the work of up to `batch.size` sets in one transaction. Returns the events of each set, in the order of the
   * sets, or nothing.
   *
   * If it fails, nothing is committed, and it is called again with each half of the sets, down to the one that is the
   * cause: only that attempt has failed. So it may be called several times with a set in one attempt, and effects
   * outside of `tx` need the set's `runId`; a call that was aborted may still be running then, unless it heeds its
   * `signal`. A set whose attempt failed runs alone from then on, as do all sets of a call that timed out, or whose
   * process died; none of the latter is charged an attempt.
   */
  handleAll?(sets: readonly BatchedSet<P, K>[], context: BatchContext): BatchResult;
  /** Required with `handleAll`. */
  readonly batch?: Batch;
}

/** What a handler may return. */
type Result = Promise<readonly OutgoingEvent[] | void> | readonly OutgoingEvent[] | void;
type Results = readonly (readonly OutgoingEvent[] | void)[] | void;
type BatchResult = Promise<Results> | Results;

/** One of both ways to handle sets, with types that infer what the handler returns. */
type Handlers<P extends string, K extends string, R> =
  | {
      handle(
        set: CompleteSet<P, K>,
        context: HandlerContext,
      ): R & Result & OnlyEvents<R, OutgoingEvent>;
      readonly handleAll?: never;
      readonly batch?: never;
    }
  | {
      handleAll(
        sets: readonly BatchedSet<P, K>[],
        context: BatchContext,
      ): R & BatchResult & OnlyEvents<R, OutgoingEvent>;
      readonly batch: Batch;
      readonly handle?: never;
    };

/**
 * Declares a function. Part names and key columns become types, so a misspelt one does not compile. The
 * definition is validated when the function is loaded, which reports all of its problems at once.
 */
export function defineFunction<
  const Q extends Record<string, Part>,
  const D,
  R extends Result | BatchResult,
>(
  definition: {
    readonly parts: Q & { readonly [N in keyof Q]: Q[N] & Only<Q[N], PartLike<Q[N]>> };
  } & Handlers<keyof Q & string, KeyColumn<Q>, R> &
    Omit<
      FunctionDefinition<keyof Q & string, KeyColumn<Q>>,
      'parts' | 'handle' | 'handleAll' | 'batch'
    > &
    D &
    Only<D, FunctionDefinition> &
    (D extends { readonly retry: infer P } ? { readonly retry: Only<P, RetryPolicy> } : unknown) &
    (D extends { readonly batch: infer B } ? { readonly batch: Only<B, Batch> } : unknown),
): FunctionDefinition<keyof Q & string, KeyColumn<Q>> {
  return definition;
}

/** What a file in `functions/` may define. */
export type Definition = FunctionDefinition | ProjectionDefinition;
