import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { TRACES } from '../chaos/functions.ts';
import { muster } from '../cli/command.ts';
import { AUDIENCE, startIssuer, SUBJECT } from '../support/issuer.ts';
import { TestProcess } from '../support/process.ts';
import { envelope } from '../support/sender.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

const SERVE = fileURLToPath(new URL('../chaos/serve.ts', import.meta.url));
const CANARY = `canary-${randomUUID()}`;

/** Starts `muster serve` with the functions of the tests, at the most verbose log level. */
function serve(env: Record<string, string>): TestProcess {
  const served = new TestProcess(SERVE, [], {
    HOST: '127.0.0.1',
    PORT: '0',
    LOG_LEVEL: 'trace',
    ...env,
  });
  onTestFinished(async () => {
    served.kill('SIGKILL');
    await served.exited;
  });
  return served;
}

/** Expects that a text contains no secret, neither plain nor encoded for a URL or in base64. */
function expectAbsent(text: string, ...secrets: string[]): void {
  for (const secret of secrets) {
    expect(text).not.toContain(secret);
    expect(text).not.toContain(encodeURIComponent(secret));
    expect(text).not.toContain(Buffer.from(secret).toString('base64'));
  }
}

function withPassword(db: TestDatabase, change: (url: URL) => void = () => {}): string {
  const url = new URL(db.url);
  url.password = CANARY;
  change(url);
  return url.href;
}

test('a wrong password, user or database fails the start, and no password is printed', async ({
  db,
}) => {
  const urls = [
    withPassword(db),
    withPassword(db, (url) => (url.username = 'nobody')),
    withPassword(db, (url) => (url.pathname = '/nowhere')),
  ];
  const results = await Promise.all(
    urls.flatMap((DATABASE_URL) =>
      [['serve'], ['migrate'], ['sets']].map((args) =>
        muster({ DATABASE_URL, LOG_LEVEL: 'trace' }, args),
      ),
    ),
  );
  for (const { code, stdout, stderr } of results) {
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^muster: the state database says: password authentication failed/m);
    expectAbsent(stderr, CANARY);
  }
});

test('an unavailable database is retried, and no password is logged', async ({ db }) => {
  const served = serve({ DATABASE_URL: withPassword(db, (url) => (url.port = '1')) });
  await until(() => served.log.filter(({ error }) => error !== undefined).length > 1);
  expectAbsent(served.stderr, CANARY);
});

test('a wrong password of the source is reported, and not shown', async ({ db }) => {
  const source = { INTAKE: 'wal', SOURCE_DATABASE_URL: withPassword(db) };
  const served = await serve({ DATABASE_URL: db.url, ...source }).serving();
  const msg = 'reading from the source ended, trying again';
  await until(() => served.log.some((line) => line['msg'] === msg));
  const response = await fetch(new URL('health/readiness', served.url));
  const text = await response.text();
  expect([response.status, text]).toEqual([
    503,
    expect.stringMatching(/^the source: password authentication failed/),
  ]);
  expectAbsent(served.stderr + text, CANARY);
});

test('no secret of an invalid configuration is printed', async () => {
  const { code, stderr } = await muster(
    {
      DATABASE_URL: `postgres//me:${CANARY}@db`,
      SOURCE_DATABASE_URL: `postgres//me:${CANARY}@source`,
      KAFKA_PASSWORD: CANARY,
      KAFKA_USERNAME: 'me',
      K_SINK: `https://me:${CANARY}@sink.example`,
      PORT: 'x',
    },
    ['serve'],
  );
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /DATABASE_URL must [^]*K_SINK must [^]*SOURCE_DATABASE_URL must [^]*KAFKA_PASSWORD is set, so/,
  );
  expectAbsent(stderr, CANARY);
});

test('a serving process never shows tokens or passwords', async ({ db }) => {
  const issuer = await startIssuer();
  const name = `login_${randomUUID().replaceAll('-', '')}`;
  await db.query(`create role ${name} superuser login password '${CANARY}'`);
  await db.query(TRACES);
  const served = await serve({
    DATABASE_URL: withPassword(db, (url) => (url.username = name)),
    OIDC_ISSUER: issuer.url,
    OIDC_AUDIENCE: AUDIENCE,
    OIDC_SUBJECTS: SUBJECT,
    OIDC_CA_FILE: issuer.caFile,
    // an unreachable broker, so that the log contains the lines of kafkajs
    KAFKA_BROKERS: '127.0.0.1:1',
    KAFKA_SASL_MECHANISM: 'plain',
    KAFKA_USERNAME: 'me',
    KAFKA_PASSWORD: CANARY,
    SINK_TOPIC: 'out',
  }).serving();
  const post = async (authorization: string | null, lsn: number, kind: string) => {
    const response = await fetch(served.url, {
      method: 'POST',
      body: envelope('c', lsn, { id: kind, k: 'x', kind }),
      headers: {
        'ce-specversion': '1.0',
        'ce-id': String(lsn),
        'ce-source': '/test',
        'ce-type': 'dev.knative.kafka.event',
        ...(authorization !== null && { authorization }),
      },
    });
    return response.status;
  };
  const good = await issuer.sign();
  const bad = [
    await issuer.sign({ exp: 1 }),
    await issuer.sign({ sub: 'somebody' }),
    await issuer.sign({ aud: 'else' }),
    `${good.slice(0, -8)}AAAAAAAA`,
    CANARY,
  ];
  expect(await post(null, 1, 'a')).toBe(401);
  for (const token of bad) expect(await post(`Bearer ${token}`, 1, 'a')).toBe(401);
  expect(await post(`Basic ${CANARY}`, 1, 'a')).toBe(401);
  expect(await post(`Bearer ${good}`, 1, 'a')).toBe(204);
  expect(await post(`Bearer ${good}`, 2, 'b')).toBe(204);
  await until(() =>
    served.log.some(({ msg }) => msg === 'the sink did not accept an event; trying again'),
  );

  for (const path of ['health/liveness', 'health/readiness', 'metrics', '']) {
    const response = await fetch(new URL(path, served.url));
    expect([path, response.status]).toEqual([path, 200]);
    expectAbsent(await response.text(), CANARY, good, ...bad);
  }
  served.kill('SIGTERM');
  await served.exited;
  expectAbsent(served.stdout + served.stderr, CANARY, good, ...bad);
  expect(served.log.filter(({ status }) => status === 401).length).toBe(7);
});

test('without an issuer, one log line warns that anybody may post events', async ({ db }) => {
  const served = await serve({ DATABASE_URL: db.url }).serving();
  const warnings = served.log.filter(({ msg }) => String(msg).includes('OIDC_ISSUER is not set'));
  expect(warnings.length).toBe(1);
});
