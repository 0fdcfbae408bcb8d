import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A sink of events, as `K_SINK` names one. */
export interface TestSink {
  readonly url: string;
  /** Ids of the events that came, in the order in which they did. */
  readonly ids: string[];
  /** While false, events arrive but are not answered. */
  answering: boolean;
  close(): Promise<void>;
}

export async function startSink(): Promise<TestSink> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      sink.ids.push(String(request.headers['ce-id']));
      if (sink.answering) response.writeHead(202).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const sink = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ids: [] as string[],
    answering: true,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return sink;
}
