import { createServer } from 'node:http';
import { createServer as createHttp2Server, type Http2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { decode, REQUESTS } from './protobuf.ts';

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** `traceId-spanId` of each link. */
  readonly links: readonly string[];
  readonly failed: boolean;
  readonly startedAt: bigint;
}

export interface ReceivedMetric {
  readonly name: string;
  readonly unit: string;
  readonly points: readonly {
    readonly attributes: Readonly<Record<string, unknown>>;
    readonly value: unknown;
  }[];
}

/** A receiver of OTLP over gRPC and over HTTP, in both encodings. */
export interface Collector {
  readonly url: string;
  readonly grpcUrl: string;
  readonly contentTypes: Set<string>;
  /** Spans in the order of their start. */
  readonly spans: ReceivedSpan[];
  /** Metrics of the last export. */
  metrics: ReceivedMetric[];
  readonly resource: Record<string, unknown>;
  /** Raw request bodies. */
  readonly bodies: Buffer[];
  /** Status of the answers; null if requests are never answered. */
  answer: number | null;
  close(): Promise<void>;
}

export async function startCollector(): Promise<Collector> {
  const sessions = new Set<Http2Session>();
  const grpc = createHttp2Server().on('session', (session) => sessions.add(session));
  // A stream holds one message, after its compression flag and its length.
  grpc.on('stream', async (stream, headers) => {
    const body = (await buffer(stream)).subarray(5);
    collector.contentTypes.add('application/grpc');
    take(collector, decode(body, REQUESTS[signalOf(headers[':path']!)]));
    stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.alloc(5));
  });
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    collector.bodies.push(body);
    if (collector.answer === null) return;
    const contentType = request.headers['content-type']!;
    if (collector.answer === 200) {
      collector.contentTypes.add(contentType);
      const signal = signalOf(request.url!);
      take(
        collector,
        contentType.includes('json') ? fromJson(body) : decode(body, REQUESTS[signal]),
      );
    }
    const json = contentType.includes('json');
    response.writeHead(collector.answer, { 'content-type': contentType }).end(json ? '{}' : '');
  });
  const urls: string[] = [];
  for (const each of [server, grpc]) {
    await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve));
    urls.push(`http://127.0.0.1:${(each.address() as AddressInfo).port}`);
  }
  const collector: Collector = {
    url: urls[0]!,
    grpcUrl: urls[1]!,
    contentTypes: new Set(),
    spans: [],
    metrics: [],
    resource: {},
    bodies: [],
    answer: 200,
    async close() {
      server.closeAllConnections();
      for (const session of sessions) session.destroy();
      const ends = [server, grpc].map(
        (each) => new Promise<void>((resolve) => each.close(() => resolve())),
      );
      await Promise.all(ends);
    },
  };
  return collector;
}

const signalOf = (path: string) => (/trace/i.test(path) ? 'traces' : 'metrics');

type Json = Record<string, unknown>;
const fromJson = (body: Buffer) => JSON.parse(body.toString()) as Json;
const list = (value: unknown) => (value ?? []) as Json[];

function take(collector: Collector, request: Json): void {
  for (const { resource, scopeSpans } of list(request['resourceSpans'])) {
    Object.assign(collector.resource, attributesOf(resource as Json));
    for (const { spans } of list(scopeSpans)) collector.spans.push(...list(spans).map(toSpan));
    collector.spans.sort((a, b) => Number(a.startedAt - b.startedAt));
  }
  for (const { scopeMetrics } of list(request['resourceMetrics'])) {
    collector.metrics = list(scopeMetrics).flatMap(({ metrics }) => list(metrics).map(toMetric));
  }
}

function toSpan(span: Json): ReceivedSpan {
  return {
    traceId: span['traceId'] as string,
    spanId: span['spanId'] as string,
    parentSpanId: span['parentSpanId'] as string | undefined,
    name: span['name'] as string,
    kind: span['kind'] as number,
    attributes: attributesOf(span),
    links: list(span['links']).map((link) => [link['traceId'], link['spanId']].join('-')),
    failed: (span['status'] as Json | undefined)?.['code'] === 2,
    startedAt: BigInt(span['startTimeUnixNano'] as string),
  };
}

function toMetric(metric: Json): ReceivedMetric {
  const kind = ['sum', 'gauge', 'histogram'].find((each) => metric[each] !== undefined)!;
  const { dataPoints } = metric[kind] as { dataPoints: Json[] };
  return {
    name: metric['name'] as string,
    unit: metric['unit'] as string,
    points: dataPoints.map((point) => ({
      attributes: attributesOf(point),
      value:
        kind === 'histogram'
          ? { count: Number(point['count']), buckets: (point['bucketCounts'] as []).map(Number) }
          : point['asDouble'],
    })),
  };
}

function attributesOf(holder: Json): Json {
  return Object.fromEntries(
    list(holder['attributes']).map(({ key, value }) => {
      const [held] = Object.values(value as Json);
      return [key, held];
    }),
  );
}
