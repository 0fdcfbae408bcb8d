import type { Counter, Gauge } from 'prom-client';
import type { Log } from '../function.ts';
import type { Delivery, DueEvent } from '../state/runs/outbox.ts';

export interface OutboxMetrics {
  readonly outbox: Counter<'outcome'>;
  readonly sinkMissing: Gauge;
}

/** Counts a delivery, and logs it if the sink did not accept the event. */
export function reportDelivery(
  delivery: Delivery,
  event: DueEvent,
  { metrics, log }: { readonly metrics: OutboxMetrics; readonly log: Log },
): void {
  metrics.outbox.inc({ outcome: delivery.kind });
  if (delivery.kind === 'sent' || delivery.kind === 'postponed') return;
  const fields = { event: event.eventId, attempts: event.attempts, error: delivery.error };
  switch (delivery.kind) {
    case 'failed':
      return log.error(fields, 'the sink refused an event permanently');
    case 'blocked':
      return log.error(
        fields,
        'the sink refuses events until an operator fixes the cause; trying again',
      );
    case 'again':
      return log.warn(fields, 'the sink did not accept an event; trying again');
  }
}
