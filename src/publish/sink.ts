import type { Attributes } from '@opentelemetry/api';
import { CloudEvent, HTTP } from 'cloudevents';
import { parseExact } from '../state/exact.ts';

/** What is sent: the attributes Muster sets, and the data as JSON text. */
export interface Outgoing {
  readonly id: string;
  /** Of the set it is about: what it is ordered by. */
  readonly key: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: Date;
  /** JSON text */
  readonly data: string | null;
  /**
   * `traceparent` of the run that made it, as the extension of that name: the same in every attempt
   * (CloudEvents, distributed tracing).
   */
  readonly traceparent?: string | null;
  /** `traceparent` of this attempt, as the header. */
  readonly hop?: string | null;
}

/** What became of an event: taken, refused for good, or to be tried again. */
export type Delivery = (
  | { readonly kind: 'sent' }
  | { readonly kind: 'refused'; readonly error: string }
  | { readonly kind: 'again'; readonly error: string }
) & {
  /** Of HTTP, where there was an answer. */
  readonly status?: number;
};

/**
 * Where events go. Never throws: what goes wrong is a {@link Delivery}. When `signal` aborts, an event
 * that is not answered yet is to be tried again.
 */
export interface Sink {
  readonly name: string;
  /** What it is in the words of OpenTelemetry's semantic conventions. */
  readonly attributes?: Attributes;
  send(event: Outgoing, signal: AbortSignal): Promise<Delivery>;
  /** Lets go of connections; nothing is sent any more. */
  close(): Promise<void>;
}

/** Knative's retry rule (specs/eventing/data-plane.md): these may pass, every other refusal is final. */
const RETRIED = new Set([404, 408, 409, 429]);
const TIMEOUT_MS = 30_000;

/**
 * Posts binary CloudEvents to a URL: `K_SINK` as a SinkBinding sets it, with the extensions of
 * `K_CE_OVERRIDES`.
 */
export function httpSink(url: string, extensions: Readonly<Record<string, string>>): Sink {
  const { hostname, port, protocol } = new URL(url);
  return {
    name: url,
    attributes: {
      'messaging.system.name': 'http',
      'http.request.method': 'POST',
      'server.address': hostname,
      'server.port': Number(port || (protocol === 'https:' ? 443 : 80)),
    },
    async send(event, signal) {
      const { headers, body } = HTTP.binary(toCloudEvent(event, extensions));
      try {
        const response = await fetch(url, {
          method: 'POST',
          headers: {
            ...(headers as Record<string, string>),
            ...(event.hop && { traceparent: event.hop }),
          },
          body: (body as string | undefined) ?? null,
          redirect: 'manual',
          signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
        });
        await response.body?.cancel();
        const { status } = response;
        if (response.ok) return { kind: 'sent', status };
        const error = `${url} answered ${status}`;
        return {
          kind: status >= 500 || RETRIED.has(status) ? 'again' : 'refused',
          error,
          status,
        };
      } catch (error) {
        const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
        return {
          kind: 'again',
          error: `${url}: ${cause instanceof Error ? cause.message : String(cause)}`,
        };
      }
    },
    async close() {},
  };
}

/** Prints each event as one line of structured JSON: where no sink is configured. */
export function stdoutSink(extensions: Readonly<Record<string, string>>): Sink {
  return {
    name: 'stdout',
    send(event) {
      return new Promise((resolve) => {
        process.stdout.write(`${JSON.stringify(toCloudEvent(event, extensions))}\n`, (error) =>
          resolve(error ? { kind: 'again', error: error.message } : { kind: 'sent' }),
        );
      });
    },
    async close() {},
  };
}

/** The event as the SDK knows it; throws if it can't be one (CloudEvents 1.0.2, 2). */
export function toCloudEvent(
  event: Outgoing,
  extensions: Readonly<Record<string, string>>,
): CloudEvent<unknown> {
  return new CloudEvent({
    id: event.id,
    source: event.source,
    type: event.type,
    subject: event.subject,
    time: event.time.toISOString(),
    ...(event.data !== null && {
      datacontenttype: 'application/json',
      data: parseExact(event.data, (digits) => JSON.rawJSON(digits)),
    }),
    ...(event.traceparent && { traceparent: event.traceparent }),
    ...extensions,
  });
}
