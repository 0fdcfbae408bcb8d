import { createHmac, type webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { exportSPKI, importJWK, type JWK } from 'jose';
import { expect, onTestFinished, vi } from 'vitest';
import { Issuer, type IssuerOptions } from '../../../src/intake/http/issuer.ts';
import { Tokens } from '../../../src/intake/http/token.ts';
import { AUDIENCE, startIssuer, SUBJECT, type TestIssuer } from '../../support/issuer.ts';
import { until } from '../../support/until.ts';
import { Recorder, speak, test } from '../server.ts';

const CHANGE = JSON.stringify({
  op: 'c',
  before: null,
  after: { id: 1 },
  source: { name: 'test', schema: 'public', table: 'item', lsn: 1, ts_ms: 0 },
});

interface Options extends Partial<IssuerOptions> {
  subjects?: readonly string[];
}

function tokensOf({ url, caFile }: TestIssuer, { subjects, ...options }: Options = {}): Tokens {
  const issuer = new Issuer({ url, caFile, tokenFile: null, cooldownMs: 0, ...options });
  return new Tokens({ issuer, url, audience: AUDIENCE, subjects: subjects ?? null });
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const requestWith = (headers: string) =>
  `POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}content-length: 2\r\n\r\n{}`;
const raw = (authorization: string) =>
  ({ headers: { authorization }, rawHeaders: ['Authorization', authorization] }) as never;
const seconds = () => Math.floor(Date.now() / 1000);
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

test('a sender with a token of the issuer for this audience may post', async ({ serve }) => {
  const issuer = await startIssuer();
  const intake = new Recorder();
  const server = await serve(intake, { tokens: tokensOf(issuer) });
  const token = await issuer.sign();
  expect((await server.post(CHANGE, bearer(token))).status).toBe(204);
  expect((await server.post(CHANGE, { authorization: `bearer  ${token}` })).status).toBe(204);
  expect((await server.post(CHANGE, bearer(await issuer.sign({ aud: AUDIENCE })))).status).toBe(
    204,
  );
  expect(intake.ingested.length).toBe(3);
  expect(issuer.asked).toEqual(['/.well-known/openid-configuration', '/keys']);
});

test('without a token no event may be posted, and the body is not read', async ({ serve }) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  expect(await server.post(CHANGE)).toEqual({
    status: 401,
    reason: 'no-token',
    body: { error: 'no bearer token', reason: 'no-token' },
  });
  expect(server.counted).toEqual(['refused no-token']);
  expect(server.logged).toEqual([
    expect.objectContaining({ level: 40, status: 401, partition: '2', offset: '7' }),
  ]);
  const answer = await speak(
    server.port,
    'POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9999999\r\n\r\n',
  );
  expect(answer).toMatch(/^HTTP\/1.1 401 /);
  expect(answer).toMatch(/\r\nwww-authenticate: Bearer\r\n/i);
});

test('GET / needs no token', async ({ serve }) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  expect((await fetch(`http://127.0.0.1:${server.port}/`)).status).toBe(200);
});

/** Tokens of forgers and misconfigured senders, with the expected message. */
const WRONG: Record<string, [token: (issuer: TestIssuer) => Promise<string>, error: string]> = {
  'has expired': [
    (issuer) => issuer.sign({ exp: seconds() - 60 }),
    'the token is refused: it has expired',
  ],
  'never expires': [
    (issuer) => issuer.sign({ exp: undefined as never }),
    'the token is refused: missing required "exp" claim',
  ],
  'is for another audience': [
    (issuer) => issuer.sign({ aud: ['other'] }),
    'the token is refused: unexpected "aud" claim value',
  ],
  'is for no audience': [
    (issuer) => issuer.sign({ aud: undefined as never }),
    'the token is refused: missing required "aud" claim',
  ],
  'is of another issuer': [
    (issuer) => issuer.sign({ iss: 'https://other.example' }),
    'the token is refused: it is not of the issuer https://127.0.0.1:',
  ],
  'is of a subject that is not allowed': [
    (issuer) => issuer.sign({ sub: 'system:serviceaccount:shop:other' }),
    "the token is refused: its subject 'system:serviceaccount:shop:other' may not post",
  ],
  'is not signed': [
    async (issuer) => {
      const [, claims] = (await issuer.sign()).split('.');
      return `${part({ alg: 'none' })}.${claims}.`;
    },
    'the token is refused: ',
  ],
  'is signed by HS256 with the public key': [
    async (issuer) => {
      const [, claims] = (await issuer.sign()).split('.');
      const key = await exportSPKI((await importJWK(issuer.told[0]!)) as webcrypto.CryptoKey);
      const signed = `${part({ alg: 'HS256', kid: 'one' })}.${claims}`;
      return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
    },
    'the token is refused: "alg" (Algorithm) Header Parameter value not allowed',
  ],
  'was changed': [
    async (issuer) => {
      const [header, , signature] = (await issuer.sign()).split('.');
      const claims = { iss: issuer.url, aud: AUDIENCE, sub: SUBJECT, exp: seconds() + 600 };
      return `${header}.${part(claims)}.${signature}`;
    },
    'the token is refused: signature verification failed',
  ],
  'is signed by another key of the same name': [
    async (issuer) => {
      await issuer.newKey('one');
      return issuer.sign();
    },
    'the token is refused: signature verification failed',
  ],
  'is no token': [async () => 'abc', 'the token is refused: Invalid JWT'],
  'is three dots of nothing': [async () => 'a.b.c', 'the token is refused: '],
  'is a password': [async () => '', 'the token is refused: there is no bearer token'],
};

test.for(Object.entries(WRONG))(
  'a token that %s is refused for good',
  async ([, [make, error]], { serve }) => {
    const issuer = await startIssuer();
    const intake = new Recorder();
    const server = await serve(intake, { tokens: tokensOf(issuer, { subjects: [SUBJECT] }) });
    const token = await make(issuer);
    const headers = token === '' ? { authorization: 'Basic bXVzdGVyOm11c3Rlcg==' } : bearer(token);
    const answer = await server.post(CHANGE, headers);
    expect(answer).toMatchObject({ status: 401, reason: 'bad-token' });
    expect((answer.body as { error: string }).error).toContain(error);
    expect(intake.ingested).toEqual([]);
    // a good one is still taken, and no token is ever repeated
    await issuer.newKey('two').then((key) => issuer.told.push(key));
    expect((await server.post(CHANGE, bearer(await issuer.sign()))).status).toBe(204);
    expect(JSON.stringify([answer, server.logged])).not.toContain(token || 'Basic');
  },
);

test('a token that has just expired is accepted, because clocks may differ', async ({ serve }) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  const token = await issuer.sign({ exp: seconds() - 5 });
  expect((await server.post(CHANGE, bearer(token))).status).toBe(204);
});

test('two authorizations in one request are refused, because another reader may choose the other one', async ({
  serve,
}) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  const header = `Authorization: Bearer ${await issuer.sign()}\r\n`;
  expect(await speak(server.port, requestWith(header + header))).toMatch(
    /^HTTP\/1.1 401 [^]*kne-reason: bad-token/,
  );
  expect(await speak(server.port, requestWith(header))).toMatch(/^HTTP\/1.1 400 /); // no CloudEvent
});

test('a token that is not valid yet is answered 503, because it will be', async ({ serve }) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  expect(
    await server.post(CHANGE, bearer(await issuer.sign({ nbf: seconds() + 60 }))),
  ).toMatchObject({ status: 503, reason: 'token-not-yet-valid' });
});

test('while the issuer is down events are answered 503, and ingested once it is up', async ({
  serve,
}) => {
  const issuer = await startIssuer();
  await issuer.stop();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  const token = await issuer.sign();
  expect(await server.post(CHANGE, bearer(token))).toMatchObject({
    status: 503,
    reason: 'issuer-unavailable',
  });
  // what is bad whatever its keys are is refused even so
  const other = await issuer.sign({ iss: 'https://other.example' });
  expect((await server.post(CHANGE, bearer(other))).status).toBe(401);
  await issuer.start();
  await until(async () => (await server.post(CHANGE, bearer(token))).status === 204);
});

test('an issuer that goes down later stops no sender whose key is cached', async ({ serve }) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer, { maxAgeMs: 0 }) });
  expect((await server.post(CHANGE, bearer(await issuer.sign()))).status).toBe(204);
  await issuer.stop();
  expect((await server.post(CHANGE, bearer(await issuer.sign({ jti: '2' })))).status).toBe(204);
});

test('a new key is fetched when a token names it, and awaited until the issuer publishes it', async ({
  serve,
}) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  expect((await server.post(CHANGE, bearer(await issuer.sign()))).status).toBe(204);
  const key = await issuer.newKey('two', 'ES256');
  const token = await issuer.sign();
  expect(await server.post(CHANGE, bearer(token))).toMatchObject({
    status: 503,
    reason: 'unknown-key',
  });
  issuer.told.splice(0, 1, key);
  expect((await server.post(CHANGE, bearer(token))).status).toBe(204);
});

test('many tokens with unknown keys cause no more requests than the cooldown allows', async ({
  serve,
}) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer, { cooldownMs: 60_000 }) });
  const good = await issuer.sign();
  expect((await server.post(CHANGE, bearer(good))).status).toBe(204);
  await issuer.newKey('forged');
  const forged = await Promise.all(
    Array.from({ length: 50 }, (_, i) => issuer.sign({ jti: `${i}` })),
  );
  const answers = await Promise.all(forged.map((token) => server.post(CHANGE, bearer(token))));
  expect(new Set(answers.map(({ reason }) => reason))).toEqual(new Set(['unknown-key']));
  expect(issuer.asked.length).toBe(2);
});

test('a token that does not name its key is tried with each', async ({ serve }) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  issuer.told.push(await issuer.newKey('two'));
  const token = await issuer.sign({}, { kid: undefined });
  expect((await server.post(CHANGE, bearer(token))).status).toBe(204);
  await issuer.newKey('three');
  expect(
    (await server.post(CHANGE, bearer(await issuer.sign({}, { kid: undefined })))).status,
  ).toBe(401);
});

test.for([
  ['have no name', undefined],
  ['keep their name', 'one'],
] as const)(
  'tokens of a new key are accepted after a rotation in which the keys %s, and prove no forgery before',
  async ([, kid], { serve }) => {
    const issuer = await startIssuer();
    issuer.told.splice(0, 1, nameless(await issuer.newKey('one'), kid));
    const intake = new Recorder();
    const server = await serve(intake, { tokens: tokensOf(issuer, { cooldownMs: 60_000 }) });
    const sign = (jti: string) => issuer.sign({ jti }, { kid });
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    expect((await server.post(CHANGE, bearer(await sign('old')))).status).toBe(204);

    const rotate = async () => {
      issuer.told.splice(0, 1, nameless(await issuer.newKey('one'), kid));
    };
    await rotate();
    expect((await server.post(CHANGE, bearer(await sign('new')))).status).toBe(204);
    await rotate();
    const token = await sign('newer');
    // The issuer was asked a moment ago, so the keys that are known prove nothing.
    expect(await server.post(CHANGE, bearer(token))).toMatchObject({
      status: 503,
      reason: 'unknown-key',
    });
    vi.advanceTimersByTime(60_001);
    expect((await server.post(CHANGE, bearer(token))).status).toBe(204);
    expect(issuer.asked).toHaveLength(6);
  },
);

test('a signature that current keys don’t verify is refused for good, within the cooldown of requests', async ({
  serve,
}) => {
  const issuer = await startIssuer();
  const tokens = tokensOf(issuer, { cooldownMs: 60_000 });
  const server = await serve(new Recorder(), { tokens });
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  expect((await server.post(CHANGE, bearer(await issuer.sign()))).status).toBe(204);
  await issuer.newKey('one');
  const answers: number[] = [];
  for (let i = 0; i < 20; i++) {
    const forged = await issuer.sign({ jti: String(i) });
    answers.push((await server.post(CHANGE, bearer(forged))).status);
  }
  expect(answers).toEqual([401, ...Array.from({ length: 19 }, () => 503)]);
  expect(issuer.asked).toHaveLength(4);
  vi.advanceTimersByTime(60_001);
  const forged = await issuer.sign({ jti: 'last' });
  expect((await server.post(CHANGE, bearer(forged))).status).toBe(401);
  expect(issuer.asked).toHaveLength(6);
});

test('keys that were fetched for a token prove it invalid without a second request', async ({
  serve,
}) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  await issuer.newKey('one');
  expect((await server.post(CHANGE, bearer(await issuer.sign()))).status).toBe(401);
  expect(issuer.asked).toHaveLength(2);
});

test('a signature proves nothing while the issuer does not answer', async ({ serve }) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  expect((await server.post(CHANGE, bearer(await issuer.sign()))).status).toBe(204);
  await issuer.stop();
  await issuer.newKey('one');
  expect(await server.post(CHANGE, bearer(await issuer.sign()))).toMatchObject({
    status: 503,
    reason: 'unknown-key',
  });
});

function nameless(key: JWK, kid: string | undefined): JWK {
  const { kid: _, ...rest } = key;
  return kid === undefined ? rest : { ...rest, kid };
}

test('a verified token is not verified again until it expires', async ({ serve }) => {
  const issuer = await startIssuer();
  const tokens = tokensOf(issuer);
  const token = await issuer.sign();
  expect(tokens.check(raw(`Bearer ${token}`))).toBeInstanceOf(Promise);
  const server = await serve(new Recorder(), { tokens });
  await server.post(CHANGE, bearer(token));
  expect(tokens.check(raw(`Bearer ${token}`))).toBeNull();
  // 1,000 others later it is forgotten
  const others = await Promise.all(
    Array.from({ length: 1000 }, (_, i) => issuer.sign({ jti: String(i) })),
  );
  for (const other of others) await tokens.check(raw(`Bearer ${other}`));
  expect(tokens.check(raw(`Bearer ${token}`))).toBeInstanceOf(Promise);
});

test('an issuer that requires authorization is sent a token, read from its file for each request', async ({
  serve,
}) => {
  const issuer = await startIssuer();
  const tokenFile = `${issuer.caFile}.token`;
  writeFileSync(tokenFile, 'first\n');
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer, { tokenFile }) });
  await server.post(CHANGE, bearer(await issuer.sign()));
  writeFileSync(tokenFile, 'second\n');
  issuer.told.push(await issuer.newKey('two'));
  await server.post(CHANGE, bearer(await issuer.sign()));
  const paths = ['/.well-known/openid-configuration', '/keys'];
  expect(issuer.asked).toEqual(
    ['first', 'second'].flatMap((token) => paths.map((path) => `${path} Bearer ${token}`)),
  );
});

/** Answers that make an issuer untrusted. */
const DOUBTFUL: Record<string, [change: (issuer: TestIssuer) => unknown, error: RegExp]> = {
  'names another issuer': [
    (issuer) => (issuer.document['issuer'] = 'https://other.example'),
    /names the issuer https:\/\/other\.example/,
  ],
  'has its keys where anybody could change them': [
    (issuer) => (issuer.document['jwks_uri'] = 'http://127.0.0.1:1/keys'),
    /has no https jwks_uri/,
  ],
  'answers 403': [(issuer) => (issuer.status = 403), /answered 403/],
  'answers 302': [(issuer) => (issuer.status = 302), /answered 302/],
  'tells what are no keys': [
    (issuer) => issuer.told.push('x' as never),
    /JSON Web Key Set malformed/,
  ],
  'sends too much': [(issuer) => (issuer.document['x'] = 'x'.repeat(2 << 20)), /sends too much/],
};

test.for(Object.entries(DOUBTFUL))(
  'an issuer that %s is not trusted',
  async ([, [change, error]], { serve }) => {
    const issuer = await startIssuer();
    change(issuer);
    const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
    const answer = await server.post(CHANGE, bearer(await issuer.sign()));
    expect(answer).toMatchObject({ status: 503, reason: 'issuer-unavailable' });
    expect((answer.body as { error: string }).error).toMatch(error);
  },
);

test('an issuer with a certificate of another authority is not trusted', async ({ serve }) => {
  const issuer = await startIssuer();
  const { caFile } = await startIssuer();
  for (const file of [caFile, null]) {
    const server = await serve(new Recorder(), { tokens: tokensOf(issuer, { caFile: file }) });
    const answer = await server.post(CHANGE, bearer(await issuer.sign()));
    expect(answer).toMatchObject({ status: 503, reason: 'issuer-unavailable' });
  }
  expect(issuer.asked).toEqual([]);
});

test('an accepted token is refused once it has expired', async ({ serve }) => {
  const issuer = await startIssuer();
  const server = await serve(new Recorder(), { tokens: tokensOf(issuer) });
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  const token = await issuer.sign({ exp: seconds() + 60 });
  expect((await server.post(CHANGE, bearer(token))).status).toBe(204);
  vi.setSystemTime(Date.now() + 120_000);
  expect(await server.post(CHANGE, bearer(token))).toMatchObject({ status: 401 });
});
