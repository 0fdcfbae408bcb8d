import type { Log } from '../function.ts';
import { Loop } from '../lib/loop.ts';
import type { Database } from '../state/database/database.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { setSinkMissing } from '../state/runs/outbox.ts';
import { OutboxRelay } from './relay.ts';
import { reportDelivery, type OutboxMetrics } from './report-delivery.ts';
import type { Sink } from './sink.ts';

/** Grace period for in-flight sends at shutdown. */
const SINK_GRACE_MS = 2_000;
/**
 * Time for which events are not due while no sink is configured, so that KEDA keeps no pod for them. After this
 * time a pod starts to check whether there is a sink now, and stays for KEDA's cooldown: configuring the sink of a
 * Deployment that is scaled to zero does not start a pod.
 */
const MISSING_SECONDS = 600;
const MISSING_RENEWED_MS = (MISSING_SECONDS * 1000) / 2;
const NO_SINK =
  'no sink is configured, so outgoing events wait in the outbox: set K_SINK (a SinkBinding does), SINK_TOPIC or SINK=stdout';
const BLOCKED =
  'the sink refuses outgoing events, which wait until an operator fixes the cause; its response is in the log';

export interface PublishingOptions {
  readonly database: Database;
  readonly served: readonly RegisteredFunction[];
  /** Null if none is configured, so that events wait. */
  readonly sink: Sink | null;
  readonly worker: () => string;
  readonly everyMs: number;
  readonly firstMs: number;
  readonly log: Log;
  readonly metrics: OutboxMetrics;
  readonly onError: (error: unknown) => void;
}

/** The loop that sends the events of the outbox. */
export interface Publishing {
  /** Starts the next iteration at once. */
  poke(): void;
  /** Why no events are sent until an operator fixes the cause; null if there is no such problem. */
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
  const relay = new OutboxRelay({
    database,
    served,
    sink,
    worker,
    onDelivery(delivery, event) {
      if (delivery.kind === 'blocked') isBlocked = true;
      else if (delivery.kind === 'sent') isBlocked = false;
      reportDelivery(delivery, event, options);
    },
    onProgress: () => loop.poke(),
  });
  let isSinkRecorded = false;
  const loop: Loop = new Loop(
    options.everyMs,
    async () => {
      if (!isSinkRecorded) await setSinkMissing(database, idsOf(served), null);
      isSinkRecorded = true;
      return relay.publish();
    },
    onError,
    options.firstMs,
  );
  return {
    poke: () => loop.poke(),
    trouble: () => (isBlocked ? BLOCKED : null),
    async stop() {
      await loop.stop();
      await relay.drain(SINK_GRACE_MS).catch(onError);
      await sink.close();
    },
  };
}

function idsOf(served: readonly RegisteredFunction[]): number[] {
  return served.map((each) => each.id);
}
