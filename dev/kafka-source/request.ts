import { randomBytes } from 'node:crypto';
import { type Agent, type IncomingHttpHeaders, request } from 'node:http';
import { ATTRIBUTES, type SourceEvent } from './event.ts';
import { inHashMapOrder, toLatin1 } from './java.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** The headers of the event's request in wire order, without content-length and host. */
export function eventHeaders(event: SourceEvent, namespace: string): [string, string][] {
  const attributes = ATTRIBUTES.flatMap((name): [string, string][] => {
    const value = event.attributes.get(name);
    if (value === undefined) return [];
    return [[name === 'datacontenttype' ? 'content-type' : `ce-${name}`, value]];
  });
  const extensions = inHashMapOrder(event.extensions).map(([name, value]): [string, string] => [
    `ce-${name}`,
    value,
  ]);
  return [
    ['user-agent', 'Vert.x-WebClient/4.5.21'],
    ['Prefer', 'reply'],
    ['Kn-Namespace', namespace],
    ...[...attributes, ...extensions].map(([name, value]): [string, string] => [
      name,
      toLatin1(value),
    ]),
  ];
}

/** Returns a new span for the request in the record's trace; undefined if the record has none. */
export function childSpan(traceparent: string | undefined): string | undefined {
  const [, trace, flags] =
    /^00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})$/.exec(traceparent ?? '') ?? [];
  return trace && `00-${trace}-${randomBytes(8).toString('hex')}-${flags}`;
}

/** Sends one POST; rejects if no answer arrives in time. `last`: headers that follow `host`. */
export function post(
  sink: string,
  {
    headers,
    data,
    last,
  }: { headers: [string, string][]; data: Buffer | null; last: [string, string][] },
  { agent, signal, timeout }: { agent: Agent; signal: AbortSignal; timeout: number },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(sink, { method: 'POST', agent, setHost: false, signal, timeout });
    for (const [name, value] of headers) sent.setHeader(name, value);
    if (data) sent.setHeader('content-length', data.length);
    sent.setHeader('host', new URL(sink).host);
    for (const [name, value] of last) sent.setHeader(name, value);
    sent.removeHeader('connection'); // Vert.x does not send this header; Node would
    if (!data) for (const name of ['content-length', 'transfer-encoding']) sent.removeHeader(name);

    sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks),
        }),
      );
    });
    sent.end(data);
  });
}
