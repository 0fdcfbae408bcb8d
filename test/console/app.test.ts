import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { createConsole } from '../../src/console/app.ts';
import { loadConsoles, type FunctionConsole } from '../../src/console/consoles.ts';
import { BadField, defineConsole, type Reader } from '../../src/console/plugin.ts';
import { openReader } from '../../src/state/database/reader.ts';
import { grantRoles } from '../../src/state/schema/roles.ts';
import { consoleOn } from '../support/console.ts';
import { test } from '../support/test.ts';

const nothing: Reader = { read: () => Promise.reject(new Error('nothing to read')) };

function consoleOf(routes: FunctionConsole['routes'] = () => {}): FunctionConsole {
  const definition = defineConsole({ title: 'Trial', description: 'A trial.', routes });
  return { ...definition, name: 'trial', page: null };
}

test('every answer has the security headers, which allow inline content only for the styles of the documentation', async () => {
  const app = await createConsole({ db: nothing, consoles: await loadConsoles(['travelers']) });
  for (const url of ['/travelers/', '/api/docs/', '/health/liveness', '/nothing']) {
    const { headers } = await app.inject(url);
    expect(headers).toMatchObject({
      'content-security-policy': expect.stringMatching(/^default-src 'none'; ?script-src 'self';/),
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'permissions-policy': 'camera=(), geolocation=(), microphone=()',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    });
    const policy = String(headers['content-security-policy']);
    expect(policy.includes('unsafe')).toBe(url === '/api/docs/');
    expect(policy).not.toMatch(/script-src[^;]*unsafe/);
  }
  await app.close();
});

test('errors state what is wrong and where; internal errors reveal no details', async () => {
  const app = await createConsole({
    db: nothing,
    consoles: [
      consoleOf((routes) => {
        const schema = {
          querystring: {
            type: 'object',
            additionalProperties: false,
            required: ['a'],
            properties: { a: { type: 'string', minLength: 2 } },
          },
        };
        routes.get('/strict', { schema }, () => ({ fine: true }));
        routes.get('/field', () => Promise.reject(new BadField('a', 'must be b')));
        routes.get('/broken', () => Promise.reject(new Error('the secret')));
        routes.get('/away', () => Promise.reject(new Error('connect ECONNREFUSED 127.0.0.1:1')));
      }),
    ],
  });
  const answer = async (path: string) => {
    const response = await app.inject(`/api/trial${path}`);
    return [response.statusCode, response.json<object>()];
  };
  expect(await answer('/strict?a=bb')).toEqual([200, { fine: true }]);
  const bad = 'bad-request';
  expect(await answer('/strict')).toEqual([
    400,
    { error: 'a is missing', reason: bad, field: 'a' },
  ]);
  expect(await answer('/strict?a=b')).toEqual([
    400,
    { error: 'a must NOT have fewer than 2 characters', reason: bad, field: 'a' },
  ]);
  expect(await answer('/strict?a=bb&c=1')).toEqual([
    400,
    { error: 'c is not a known parameter', reason: bad, field: 'c' },
  ]);
  expect(await answer('/field')).toEqual([400, { error: 'a must be b', reason: bad, field: 'a' }]);
  expect(await answer('/broken')).toEqual([
    500,
    { error: 'unexpected error, see the log', reason: 'internal' },
  ]);
  expect(await answer('/away')).toEqual([
    503,
    {
      error: 'the database does not answer: connect ECONNREFUSED 127.0.0.1:1',
      reason: 'database',
    },
  ]);
  expect(await answer('/none?a=1')).toEqual([
    404,
    { error: 'nothing is served at /api/trial/none', reason: 'not-found' },
  ]);
  await app.close();
});

test('answers are compressed for clients that accept it, and all forms have one weak tag', async () => {
  const app = await createConsole({
    db: nothing,
    consoles: [
      consoleOf((routes) => {
        routes.get('/long', () => ({ text: 'x'.repeat(5_000) }));
        routes.get('/short', () => ({ text: 'x' }));
      }),
    ],
  });
  const get = (path: string, headers = {}) => app.inject({ url: `/api/trial${path}`, headers });
  const plain = await get('/long');
  const zipped = await get('/long', { 'accept-encoding': 'br, gzip;q=0.5' });
  expect(plain.headers['content-encoding']).toBe(undefined);
  expect(zipped.headers['content-encoding']).toBe('gzip');
  expect(zipped.rawPayload.length).toBeLessThan(200);
  expect(zipped.headers['etag']).toMatch(/^W\/"[\w-]+"$/);
  for (const { headers } of [plain, zipped]) expect(headers['vary']).toBe('accept-encoding');
  for (const encoding of ['gzip;q=0', 'br', '', 'gzip']) {
    const { headers } = await get('/long', { 'accept-encoding': encoding });
    expect(headers['etag']).toBe(zipped.headers['etag']);
    expect(headers['content-encoding']).toBe(encoding === 'gzip' ? 'gzip' : undefined);
  }
  const short = await get('/short', { 'accept-encoding': 'gzip' });
  expect([short.headers['content-encoding'], short.body]).toEqual([undefined, '{"text":"x"}']);
  const tag = String(plain.headers['etag']);
  for (const known of [tag, tag.slice(2), `"other", ${tag}`, '*']) {
    const headers = { 'if-none-match': known, 'accept-encoding': 'gzip' };
    const answer = await get('/long', headers);
    expect([answer.statusCode, answer.body]).toEqual([304, '']);
    expect(answer.headers['content-encoding']).toBe(undefined);
  }
  expect((await get('/long', { 'if-none-match': '"other"' })).statusCode).toBe(200);
  expect((await get('/none', { 'if-none-match': '*' })).statusCode).toBe(404);
  await app.close();
});

test('a page is served with and without a trailing slash; files with a hash in their name are cached indefinitely', async () => {
  const app = await createConsole({ db: nothing, consoles: await loadConsoles(['travelers']) });
  const bare = await app.inject('/travelers?sensor=17');
  expect([bare.statusCode, bare.headers['location']]).toEqual([308, 'travelers/?sensor=17']);
  const html = await app.inject('/travelers/?sensor=17');
  expect(html.headers['cache-control']).toBe('no-cache');
  const files = [...html.body.matchAll(/"(page-\w+\.(?:js|css))"/g)].map(([, name]) => name);
  expect(files).toHaveLength(2);
  for (const name of files) {
    const file = await app.inject(`/travelers/${name}`);
    expect([file.statusCode, file.headers['cache-control']]).toEqual([
      200,
      'public, max-age=31536000, immutable',
    ]);
  }
  expect(html.body).not.toMatch(/<style|style=|<script(?![^>]*\ssrc=)|\son\w+=/);
  await app.close();
});

test('the documentation describes every route of the API, and is self-contained', async () => {
  const app = await createConsole({ db: nothing, consoles: await loadConsoles(['travelers']) });
  const document = (await app.inject('/api/docs/json')).json<{
    openapi: string;
    info: { description: string };
    paths: Record<string, { get: { parameters?: { name: string; description: string }[] } }>;
  }>();
  expect(document.openapi).toBe('3.1.0');
  expect(document.info.description).toContain('half-open');
  expect(Object.keys(document.paths)).toEqual([
    '/api/functions',
    '/api/functions/{name}/sets',
    '/api/functions/{name}/set',
    '/api/travelers/metrics',
    '/api/travelers/live',
    '/api/travelers/sensors',
  ]);
  const parameters = document.paths['/api/travelers/metrics']!.get.parameters!;
  expect(parameters.map((each) => each.name).toSorted()).toEqual(
    ['format', 'from', 'group', 'sensor', 'step', 'to', 'type', 'tz', 'window'].toSorted(),
  );
  expect(parameters.filter((each) => !each.description)).toEqual([]);
  const page = await app.inject('/api/docs/');
  expect(page.body).toContain('./static/swagger-ui-bundle.js');
  expect((await app.inject('/api/docs/static/swagger-ui-bundle.js')).statusCode).toBe(200);
  await app.close();
});

test('every operation has a unique id and declares its answer while the database is down', async () => {
  const app = await createConsole({ db: nothing, consoles: await loadConsoles(['travelers']) });
  const { paths } = (await app.inject('/api/docs/json')).json<{
    paths: Record<string, Record<string, { operationId?: string; responses: object }>>;
  }>();
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
  const names = operations.map(({ operationId }) => operationId);
  expect(names).not.toContain(undefined);
  expect(new Set(names).size).toBe(operations.length);
  for (const { responses } of operations) expect(responses).toHaveProperty('503');
  await app.close();
});

test('the list of functions is refused in the declared form while the database is down', async () => {
  const { url } = await consoleOn({ url: 'postgres://nobody@127.0.0.1:1/none' });
  const response = await fetch(`${url}/api/functions`);
  expect([response.status, await response.json()]).toEqual([
    503,
    { error: expect.stringMatching(/^the database does not answer: /), reason: 'database' },
  ]);
});

test.for([
  ['/metrics', 'GET, HEAD'],
  ['/health/liveness', 'GET, HEAD'],
  ['/', 'GET, HEAD'],
  ['/travelers/?sensor=1', 'GET, HEAD'],
  ['/api/functions', 'GET, HEAD'],
  ['/api/docs/static/swagger-ui.css', 'GET, HEAD'],
] as const)('an unsupported method at %s is answered 405 with Allow', async ([path, allow]) => {
  const app = await createConsole({ db: nothing, consoles: await loadConsoles(['travelers']) });
  for (const method of ['POST', 'PUT', 'DELETE'] as const) {
    const answer = await app.inject({ method, url: path });
    expect([answer.statusCode, answer.headers['allow']]).toEqual([405, allow]);
    expect(answer.json()).toEqual({
      error: `${method} is not served at ${path.split('?')[0]}`,
      reason: 'method-not-allowed',
    });
  }
  await app.close();
});

test('the console can read but not write', async ({ db }) => {
  const options = { url: db.url, connections: 1, statementTimeoutMs: 1_000, onIdleError: () => {} };
  const reader = openReader(options);
  const write = reader.read((tx) => tx.query('delete from muster.function'));
  await expect(write).rejects.toThrow('cannot execute DELETE in a read-only transaction');
  // One snapshot: later writes are not visible.
  const counts = await reader.read(async (tx) => {
    const count = async () =>
      (await tx.query<{ n: number }>('select count(*)::int as n from travelers.sensor')).rows[0]!.n;
    const before = await count();
    await db.query("insert into travelers.sensor values (1, now(), now(), '')");
    return [before, await count()];
  });
  expect(counts).toEqual([0, 0]);
  await reader.close();
});

test('a read-only login is enough', async ({ db }) => {
  expect(await grantRoles(db.url, ['recordings', 'travelers'])).toEqual([]);
  const name = `login_${randomUUID().replaceAll('-', '')}`;
  await db.query(`create role ${name} login password 'secret' in role muster_read`);
  const login = new URL(db.url);
  login.username = name;
  login.password = 'secret';
  const { url } = await consoleOn({ url: login.href });
  for (const path of [
    '/health/readiness',
    '/api/functions',
    '/api/travelers/sensors',
    '/api/travelers/metrics',
    '/api/travelers/metrics?group=sensor,type',
  ]) {
    const { status } = await fetch(url + path);
    expect([path, status]).toEqual([path, 200]);
  }
});

test('the console is ready while the database answers', async ({ db }) => {
  const { url } = await consoleOn(db);
  expect((await fetch(`${url}/health/readiness`)).status).toBe(200);
  const away = await consoleOn({ url: 'postgres://nobody@127.0.0.1:1/none' });
  expect((await fetch(`${away.url}/health/readiness`)).status).toBe(503);
  expect((await fetch(`${away.url}/health/liveness`)).status).toBe(200);
});

test('a function without a console has no page', async () => {
  expect(await loadConsoles(['recordings'])).toEqual([]);
  expect((await loadConsoles(['recordings', 'travelers'])).map((each) => each.name)).toEqual([
    'travelers',
  ]);
});

test('metrics report response times by route', async () => {
  const app = await createConsole({ db: nothing, consoles: await loadConsoles(['travelers']) });
  await app.inject('/travelers/');
  await app.inject('/api/travelers/metrics?step=x');
  await app.inject('/anything');
  const { body } = await app.inject('/metrics');
  const counts = [...body.matchAll(/_count\{route="(.*?)",status="(\d+)"\} (\d+)/g)];
  expect(counts.map(([, ...labels]) => labels)).toEqual([
    ['/travelers/', '200', '1'],
    ['/api/travelers/metrics', '500', '1'],
    ['none', '404', '1'],
  ]);
  await app.close();
});
