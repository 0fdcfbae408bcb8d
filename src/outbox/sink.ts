import type { Attributes } from '@opentelemetry/api';
import { CloudEvent } from 'cloudevents';
import { parseExact } from '../lib/exact-integers.ts';

/** An event to send: the attributes that Muster sets, and the data. */
export interface SinkEvent {
  readonly id: string;
  /** Key of the set, by which the event is ordered. */
  readonly key: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: Date;
  /** JSON text */
  readonly data: string | null;
  /**
   * `traceparent` of the run that created the event, sent as the extension of that name: the same in every
   * attempt (CloudEvents, distributed tracing).
   */
  readonly traceparent?: string | null;
  /** `traceparent` of this attempt, sent as the header. */
  readonly hop?: string | null;
}

/**
 * Result of an attempt to send an event: `sent`; `refused`, because of the event itself; or `again`, to be
 * retried. `blocked` is retried, too, but can't succeed until an operator changes the sink or Muster's settings
 * for it, so it raises an alarm.
 */
export type SendResult = (
  | { readonly kind: 'sent' }
  | { readonly kind: 'refused' | 'again' | 'blocked'; readonly error: string }
) & {
  /** HTTP status, if there was a response. */
  readonly status?: number;
};

/**
 * Destination of events. `send` never rejects: a failure is a {@link SendResult}. If its `signal` aborts, an event
 * that is not answered yet is to be retried.
 */
export interface Sink {
  readonly name: string;
  /** Attributes of its spans, by OpenTelemetry's semantic conventions. */
  readonly attributes?: Attributes;
  send(event: SinkEvent, signal: AbortSignal): Promise<SendResult>;
  /** Closes connections. `send` must not be called afterwards. */
  close(): Promise<void>;
}

/** Returns the event as an object of the SDK; throws if it is not a valid CloudEvent (CloudEvents 1.0.2, 2). */
export function toCloudEvent(
  event: SinkEvent,
  extensions: Readonly<Record<string, string>>,
): CloudEvent<unknown> {
  return new CloudEvent({
    id: event.id,
    source: event.source,
    type: event.type,
    // an attribute that is present may not be empty
    ...(event.subject !== '' && { subject: event.subject }),
    time: event.time.toISOString(),
    ...(event.data !== null && {
      datacontenttype: 'application/json',
      data: parseExact(event.data, (digits) => JSON.rawJSON(digits)),
    }),
    ...(event.traceparent && { traceparent: event.traceparent }),
    ...extensions,
  });
}
