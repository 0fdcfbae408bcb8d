import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'vitest';
import { createConsole } from '../../src/console/app.ts';
import type { FunctionConsole } from '../../src/console/consoles.ts';
import { Failure, FunctionsAnswer } from '../../src/console/api-answers.ts';
import type { Reader } from '../../src/console/plugin.ts';
import { MetricsAnswer, SensorsAnswer } from '../../functions/travelers/console/api-answers.ts';
import { streamOn } from '../functions/travelers/stream.ts';
import { street } from '../functions/travelers/street.ts';
import { consoleOn } from '../support/console.ts';
import { event } from '../support/events.ts';
import { pairOf, partA } from '../support/pair.ts';
import { workerOn } from '../support/worker.ts';
import { test } from '../support/test.ts';

const FROM = Date.UTC(2026, 10, 20, 8);
const RANGE = 'from=2026-11-20T08:00:00Z&to=2026-11-20T08:02:00Z';

type Responses = Record<string, { content?: Record<string, { schema: object }> }>;
interface Document {
  readonly paths: Record<string, Record<string, { responses: Responses }>>;
}

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/);

/** Problems of a real answer with what the document declares for its path, status and type. */
async function problemsOf(document: Document, url: string, path: string, response: Response) {
  const status = String(response.status);
  const [type] = response.headers.get('content-type')!.split(';');
  const declared = document.paths[path]!['get']!.responses[status]?.content?.[type!]?.schema;
  if (declared === undefined) return [`${url}: ${status} ${type} is not declared`];
  const text = await response.text();
  const validate = ajv.compile(declared);
  if (validate(type === 'application/json' ? JSON.parse(text) : text)) return [];
  return validate.errors!.map((each) => `${url}: ${each.instancePath} ${each.message}`);
}

async function documentOf(url: string): Promise<Document> {
  return (await (await fetch(`${url}/api/docs/json`)).json()) as Document;
}

test('real answers are as the OpenAPI document declares them', async ({ db }) => {
  const worker = await workerOn(db, [pairOf({ overdueAfter: '1 minute' })]);
  await worker.ingestor.ingest(partA('1'));
  await worker.ingestor.ingest(event('com.shop.paid', {}));
  await worker.ingestor.ignored.write(worker.database);
  const stream = await streamOn(db);
  await stream.give(0, street([17, 18], FROM, FROM + 120_000));
  await stream.settled();
  const { url } = await consoleOn(db);
  const away = await consoleOn({ url: 'postgres://nobody@127.0.0.1:1/none' });
  const document = await documentOf(url);
  const asked: (readonly [status: number, path: string, query: string, accept?: string])[] = [
    [200, '/api/functions', ''],
    [200, '/api/functions/{name}/sets', ''],
    [200, '/api/functions/{name}/set', '?key=1'],
    [400, '/api/functions/{name}/set', ''],
    [200, '/api/travelers/metrics', `?${RANGE}&group=sensor,type`],
    [200, '/api/travelers/metrics', '?from=2026-11-21&to=2026-11-22&step=1h'],
    [200, '/api/travelers/metrics', `?${RANGE}`, 'text/csv'],
    [406, '/api/travelers/metrics', `?${RANGE}`, 'image/png'],
    [400, '/api/travelers/metrics', '?step=x'],
    [400, '/api/travelers/live', '?step=x'],
    [200, '/api/travelers/sensors', ''],
  ];
  for (const [status, path, query, accept = '*/*'] of asked) {
    const response = await fetch(url + path.replace('{name}', 'pair') + query, {
      headers: { accept },
    });
    expect([path, query, response.status]).toEqual([path, query, status]);
    expect(await problemsOf(document, path + query, path, response)).toEqual([]);
  }
  for (const path of Object.keys(document.paths)) {
    const response = await fetch(`${away.url}${path}?${path.endsWith('/set') ? 'key=1' : ''}`);
    expect([path, response.status]).toEqual([path, 503]);
    expect(await problemsOf(document, path, path, response)).toEqual([]);
  }
});

test('each `metrics` event of a stream has the body that is declared for metrics', async ({
  db,
}) => {
  const stream = await streamOn(db);
  const now = Math.floor(Date.now() / 1000) * 1000;
  await stream.give(0, street([17], now - 60_000, now));
  await stream.settled();
  const { url } = await consoleOn(db);
  const stop = new AbortController();
  const { body } = await fetch(`${url}/api/travelers/live?group=type`, { signal: stop.signal });
  let text = '';
  for await (const bytes of body!.pipeThrough(new TextDecoderStream())) {
    text += bytes;
    if (/^event: metrics\n.*\n?data: .*\n\n/m.test(text)) break;
  }
  stop.abort();
  const [, data] = /^event: metrics\n(?:id: .*\n)?data: (.*)\n\n/m.exec(text)!;
  const answer = JSON.parse(data!) as MetricsAnswer;
  expect(answer.series.length).toBe(3);
  const validate = ajv.compile(MetricsAnswer);
  expect([validate(answer), validate.errors]).toEqual([true, null]);
});

test('the document has the declarations of the answers', async ({ db }) => {
  const { url } = await consoleOn(db);
  const { paths } = await documentOf(url);
  const schemaOf = (path: string, status: string) =>
    paths[path]!['get']!.responses[status]!.content!['application/json']!.schema;
  expect(schemaOf('/api/functions', '200')).toEqual(JSON.parse(JSON.stringify(FunctionsAnswer)));
  expect(schemaOf('/api/functions', '503')).toEqual(JSON.parse(JSON.stringify(Failure)));
  expect(schemaOf('/api/travelers/metrics', '200')).toEqual(
    JSON.parse(JSON.stringify(MetricsAnswer)),
  );
  expect(schemaOf('/api/travelers/sensors', '200')).toEqual(
    JSON.parse(JSON.stringify(SensorsAnswer)),
  );
});

const nothing: Reader = { read: () => Promise.reject(new Error('nothing to read')) };

test.for<[what: string, answer: object, problem: string]>([
  ['lacks a field', { error: 'x' }, 'must have required properties reason'],
  ['has a field of another type', { error: 'x', reason: 1 }, '/reason must be string'],
  ['has an undeclared field', { error: 'x', reason: 'y', secret: 'z' }, '/secret is not declared'],
])('an answer that %s is not sent', async ([, answer, problem]) => {
  const logged: string[] = [];
  const trial: FunctionConsole = {
    name: 'trial',
    title: 'Trial',
    description: 'A trial.',
    page: null,
    routes: (routes) => {
      routes.get('/', { schema: { response: { 200: Failure } } }, (request) => {
        request.log.error = (fields: object) => {
          if ('err' in fields) logged.push(String(fields.err));
        };
        return answer;
      });
    },
  };
  const app = await createConsole({ db: nothing, consoles: [trial] });
  const response = await app.inject('/api/trial/');
  expect([response.statusCode, response.json()]).toEqual([
    500,
    { error: 'unexpected error, see the log', reason: 'internal' },
  ]);
  expect(logged).toEqual([expect.stringContaining(problem)]);
  expect(logged[0]).toContain('the 200 response of GET /api/trial does not match its schema');
  await app.close();
});
