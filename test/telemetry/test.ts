import { fileURLToPath } from 'node:url';
import { envelope } from '../support/sender.ts';
import { TestProcess } from '../support/process.ts';
import { sinkServer, type TestSink } from '../support/sink.ts';
import { test as base, type TestDatabase } from '../support/test.ts';
import { startCollector, type Collector } from './collector.ts';

const SERVE = fileURLToPath(new URL('serve.ts', import.meta.url));

/** Processes that send their telemetry to a collector. */
export interface Traced {
  readonly collector: Collector;
  readonly sink: TestSink;
  launch(settings?: Record<string, string>): Promise<TestProcess>;
  /** Stops a process with SIGTERM, after which everything is exported. Returns its exit code. */
  end(pod: TestProcess): Promise<number | null>;
}

export const test = base.extend<{ traced: Traced }>({
  traced: async ({ db }: { db: TestDatabase }, use) => {
    const collector = await startCollector();
    const sink = await sinkServer();
    const processes: TestProcess[] = [];
    await use({
      collector,
      sink,
      launch(settings = {}) {
        const launched = new TestProcess(SERVE, [], {
          DATABASE_URL: db.url,
          HOST: '127.0.0.1',
          PORT: '0',
          DRAIN_SECONDS: '5',
          K_SINK: sink.url,
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
          ...settings,
        });
        processes.push(launched);
        return launched.serving();
      },
      async end(pod) {
        pod.kill('SIGTERM');
        return (await pod.exited).code;
      },
    });
    for (const each of processes) each.kill('SIGKILL');
    await Promise.all(processes.map((each) => each.exited));
    await collector.close();
  },
});

let lsn = 0;

/** Posts a row of `public.item` as a KafkaSource would, with additional headers. Returns the status. */
export async function post(
  url: string,
  row: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  lsn += 8;
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-id': `partition:3/offset:${lsn}`,
      'ce-source': '/apis/v1/namespaces/shop/kafkasources/items#shop.public.item',
      'ce-type': 'dev.knative.kafka.event',
      'ce-knativekafkapartition': '3',
      'ce-knativekafkaoffset': String(lsn),
      ...headers,
    },
    body: envelope('c', lsn, { note: null, ...row }),
  });
  await response.arrayBuffer();
  return response.status;
}

/** Trace context of a sender: its `traceparent` and the ids in it. */
export function senderTrace(n: number, sampled = true) {
  const traceId = n.toString(16).padStart(32, 'a');
  const spanId = n.toString(16).padStart(16, 'b');
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-0${sampled ? 1 : 0}` };
}
