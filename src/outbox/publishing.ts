import type { Counter, Gauge } from 'prom-client';
import type { Log } from '../function.ts';
import { Loop } from '../lib/loop.ts';
import type { Sink } from './http-sink.ts';
import type { Database } from '../state/database/database.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { setSinkMissing, type DueEvent, type Settlement } from '../state/runs/outbox.ts';
import { OutboxRelay } from './relay.ts';

/** Grace period for events in flight when the process stops. */
const SINK_GRACE_MS = 2_000;
/**
 * How long events that wait because no sink is configured are not due, so that KEDA keeps no pod for them.
 * After it a pod is started once more to see whether there is a sink now, and stays for KEDA's cooldown:
 * a Deployment that is given one while it is at zero starts no pod by itself.
 */
const MISSING_SECONDS = 600;
const MISSING_RENEWED_MS = (MISSING_SECONDS * 1000) / 2;
const NO_SINK =
  'no sink is configured, so outgoing events wait in the outbox: set K_SINK (a SinkBinding does), SINK_TOPIC or SINK=stdout';
const BLOCKED =
  'the sink refuses outgoing events, which wait until that is changed; the log says what it answers';

interface OutboxMetrics {
  readonly outbox: Counter<'outcome'>;
  readonly sinkMissing: Gauge;
}

export interface PublishingOptions {
  readonly database: Database;
  readonly served: readonly RegisteredFunction[];
  /** null where none is configured: events wait. */
  readonly sink: Sink | null;
  readonly worker: () => string;
  readonly everyMs: number;
  readonly firstMs: number;
  readonly log: Log;
  readonly metrics: OutboxMetrics;
  readonly onError: (error: unknown) => void;
}

/** The loop that empties the outbox. */
export interface Publishing {
  poke(): void;
  /** What an operator has to do before events go out; null while they do. */
  trouble(): string | null;
  stop(): Promise<void>;
}

export function startPublishing(options: PublishingOptions): Publishing {
  const { sink, metrics, log } = options;
  metrics.sinkMissing.set(sink === null && options.served.length > 0 ? 1 : 0);
  if (sink !== null) return publishTo(sink, options);
  if (options.served.length === 0) return { poke() {}, trouble: () => null, async stop() {} };
  log.warn({}, NO_SINK);
  let renewedAt = -Infinity;
  const loop = new Loop(
    options.everyMs,
    async () => {
      if (performance.now() - renewedAt < MISSING_RENEWED_MS) return;
      await setSinkMissing(options.database, idsOf(options.served), MISSING_SECONDS);
      renewedAt = performance.now();
    },
    options.onError,
    options.firstMs,
  );
  return { poke() {}, trouble: () => NO_SINK, stop: () => loop.stop() };
}

function publishTo(sink: Sink, options: PublishingOptions): Publishing {
  const { database, served, worker, onError } = options;
  let isBlocked = false;
  const publisher = new OutboxRelay({
    database,
    served,
    sink,
    worker,
    onSettled(settlement, event) {
      if (settlement.kind === 'blocked') isBlocked = true;
      else if (settlement.kind === 'sent') isBlocked = false;
      tell(settlement, event, options);
    },
    onProgress: () => loop.poke(),
  });
  let isTold = false;
  const loop: Loop = new Loop(
    options.everyMs,
    async () => {
      if (!isTold) await setSinkMissing(database, idsOf(served), null);
      isTold = true;
      return publisher.publish();
    },
    onError,
    options.firstMs,
  );
  return {
    poke: () => loop.poke(),
    trouble: () => (isBlocked ? BLOCKED : null),
    async stop() {
      await loop.stop();
      await publisher.drain(SINK_GRACE_MS).catch(onError);
      await sink.close();
    },
  };
}

function tell(settlement: Settlement, event: DueEvent, { metrics, log }: PublishingOptions): void {
  metrics.outbox.inc({ outcome: settlement.kind });
  if (settlement.kind === 'sent' || settlement.kind === 'postponed') return;
  const fields = { event: event.eventId, attempts: event.attempts, error: settlement.error };
  if (settlement.kind === 'failed') log.error(fields, 'the sink refused an event for good');
  else if (settlement.kind === 'blocked') {
    log.error(fields, 'the sink refuses events until an operator changes that, trying again');
  } else log.warn(fields, 'the sink did not take an event, trying again');
}

function idsOf(served: readonly RegisteredFunction[]): number[] {
  return served.map((each) => each.id);
}
