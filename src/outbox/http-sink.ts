import type { Attributes } from '@opentelemetry/api';
import { CloudEvent, HTTP } from 'cloudevents';
import { parseExact } from '../lib/exact-integers.ts';

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

/**
 * What became of an event: taken; refused, because of what the event itself is; or to be tried again.
 * `blocked` is tried again too, but nothing changes before an operator changes the sink or what Muster
 * is told of it, so it raises an alarm.
 */
export type Delivery = (
  | { readonly kind: 'sent' }
  | { readonly kind: 'refused' | 'again' | 'blocked'; readonly error: string }
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

/** Knative's retry rule (specs/eventing/data-plane.md): these, and every 5xx, are transient. */
const RETRIED = new Set([404, 408, 409, 429]);
/**
 * Answers about the event itself, which no other attempt changes. What is not listed (a redirect, 401, 403,
 * 405, 407, 425, …) is about how the sink is reached: an operator can fix it, so no event is given up for it.
 */
const REFUSED = new Set([400, 406, 410, 411, 413, 414, 415, 417, 422, 431, 451]);
const TIMEOUT_MS = 30_000;

function kindOf(status: number): Exclude<Delivery['kind'], 'sent'> {
  if (status >= 500 || RETRIED.has(status)) return 'again';
  return REFUSED.has(status) ? 'refused' : 'blocked';
}

/**
 * Posts CloudEvents to a URL: `K_SINK` as a SinkBinding sets it, with the extensions of
 * `K_CE_OVERRIDES`.
 */
export function httpSink(
  url: string,
  extensions: Readonly<Record<string, string>>,
  timeoutMs = TIMEOUT_MS,
): Sink {
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
      const { headers, body } = toMessage(event, extensions);
      try {
        const response = await fetch(url, {
          method: 'POST',
          headers: { ...headers, ...(event.hop && { traceparent: event.hop }) },
          body,
          redirect: 'manual',
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
        });
        await response.body?.cancel();
        const { status } = response;
        if (response.ok) return { kind: 'sent', status };
        return {
          kind: kindOf(status),
          error: `${url} answered ${status}${target(response)}`,
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

/** Where a redirect leads, without its query, which may hold a secret. */
function target(response: Response): string {
  const location = response.headers.get('location');
  if (location === null || !URL.canParse(location, response.url)) return '';
  const { origin, pathname } = new URL(location, response.url);
  return `, which leads to ${origin}${pathname}; redirects are not followed`;
}

/**
 * What every receiver reads alike in a header. Space, `"`, `%` and everything outside ASCII would have to be
 * percent-encoded (HTTP protocol binding 1.0.2, 3.1.3.2), which some SDKs decode and others, those of Go and
 * Java among them, do not. Headers are short: many servers answer 431 from 8 KiB on.
 */
const PLAIN = /^[!#$&-~]{1,1024}$/;

/** In binary mode where each attribute can stand in a header as it is, in structured mode otherwise. */
function toMessage(outgoing: Outgoing, extensions: Readonly<Record<string, string>>) {
  const event = toCloudEvent(outgoing, extensions);
  const { data: _, ...attributes } = event.toJSON();
  const isPlain = Object.values(attributes).every((each) => PLAIN.test(String(each)));
  const message = isPlain ? HTTP.binary(event) : HTTP.structured(event);
  const { 'content-type': contentType, ...headers } = message.headers as Record<string, string>;
  if (!isPlain) {
    return { headers: message.headers as Record<string, string>, body: String(message.body) };
  }
  return {
    // servers that are told of JSON refuse an empty body
    headers: outgoing.data === null ? headers : { ...headers, 'content-type': contentType! },
    // the text itself: the SDK would send a text without its quotation marks
    body: outgoing.data,
  };
}

/** Prints each event as one line of structured JSON: `SINK=stdout`. */
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
    // an attribute that is there may not be empty
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
