import { HTTP } from 'cloudevents';
import { errorText } from '../lib/error-text.ts';
import { toCloudEvent, type SendResult, type Sink, type SinkEvent } from './sink.ts';

/** Knative's retry rule (specs/eventing/data-plane.md): these, and every 5xx, may be transient. */
const RETRIED = new Set([404, 408, 409, 429]);
/**
 * Statuses that concern the event itself, so that a retry gets the same answer. Any other status (a redirect, 401,
 * 403, 405, 407, 425, …) concerns how the sink is reached: an operator can fix that, so the event is kept.
 */
const REFUSED = new Set([400, 406, 410, 411, 413, 414, 415, 417, 422, 431, 451]);
const TIMEOUT_MS = 30_000;

function kindOf(status: number): Exclude<SendResult['kind'], 'sent'> {
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
          error: `${url} answered ${status}${redirectTarget(response)}`,
          status,
        };
      } catch (error) {
        const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
        return { kind: 'again', error: `${url}: ${errorText(cause)}` };
      }
    },
    async close() {},
  };
}

/** Target of a redirect, without its query, which may hold a secret. */
function redirectTarget(response: Response): string {
  const location = response.headers.get('location');
  if (location === null || !URL.canParse(location, response.url)) return '';
  const { origin, pathname } = new URL(location, response.url);
  return `, which leads to ${origin}${pathname}; redirects are not followed`;
}

/**
 * Attribute values that every receiver reads the same way in a header. A space, `"`, `%` and everything outside
 * ASCII would have to be percent-encoded (HTTP protocol binding 1.0.2, 3.1.3.2), which some SDKs decode and others,
 * including those of Go and Java, do not. The length is limited because many servers answer 431 to more than 8 KiB
 * of headers.
 */
const PLAIN = /^[!#$&-~]{1,1024}$/;

/** Encodes an event in binary mode if each attribute can be a header unchanged, and in structured mode otherwise. */
function toMessage(outgoing: SinkEvent, extensions: Readonly<Record<string, string>>) {
  const event = toCloudEvent(outgoing, extensions);
  const { data: _, ...attributes } = event.toJSON();
  const isPlain = Object.values(attributes).every((each) => PLAIN.test(String(each)));
  const message = isPlain ? HTTP.binary(event) : HTTP.structured(event);
  const { 'content-type': contentType, ...headers } = message.headers as Record<string, string>;
  if (!isPlain) {
    return { headers: message.headers as Record<string, string>, body: String(message.body) };
  }
  return {
    // servers refuse an empty body whose content type is JSON
    headers: outgoing.data === null ? headers : { ...headers, 'content-type': contentType! },
    // the JSON text, because the SDK would send a JSON string without its quotation marks
    body: outgoing.data,
  };
}
