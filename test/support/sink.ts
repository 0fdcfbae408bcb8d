import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HTTP, type CloudEvent } from 'cloudevents';
import { onTestFinished } from 'vitest';

/** A real HTTP server that events are posted to. */
export interface TestSink {
  readonly url: string;
  /** The posted events, as the CloudEvents SDK reads them, in order, whatever the answer was. */
  readonly events: CloudEvent[];
  /** The ids of the events. */
  readonly ids: string[];
  readonly bodies: string[];
  /** The content mode of each event. */
  readonly modes: ('binary' | 'structured')[];
  /** The `traceparent` of each: as an attribute of the event, and as a header of the request. */
  readonly traceparents: { extension: unknown; header: unknown }[];
  /** The status to answer with; null to never answer. */
  answer: (id: string) => number | null;
}

export async function sinkServer(): Promise<TestSink> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const { headers } = request;
      const event = HTTP.toEvent({ headers, body }) as CloudEvent;
      const { id } = event;
      sink.events.push(event);
      sink.ids.push(id);
      sink.bodies.push(body);
      sink.modes.push('ce-id' in headers ? 'binary' : 'structured');
      sink.traceparents.push({
        extension: event['traceparent'],
        header: headers['traceparent'],
      });
      const status = sink.answer(id);
      if (status !== null) response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  );
  const { port } = server.address() as AddressInfo;
  const sink: TestSink = {
    url: `http://127.0.0.1:${port}/`,
    events: [],
    ids: [],
    bodies: [],
    modes: [],
    traceparents: [],
    answer: () => 202,
  };
  return sink;
}
