import { randomUUID } from 'node:crypto';
import { createServer, type AddressInfo } from 'node:net';
import { expect, inject, onTestFinished } from 'vitest';
import pg from 'pg';
import { startProxy } from '../support/proxy.ts';
import { TestProcess } from '../support/process.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { muster, MUSTER } from './command.ts';

/** Returns a port that another server listens on. */
async function takenPort(): Promise<string> {
  const server = createServer();
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return String((server.address() as AddressInfo).port);
}

const plainLines = (stderr: string) => stderr.split('\n').filter((line) => !/^(\{|$)/.test(line));

const FAILURES: [
  name: string,
  command: string,
  settings: (db: TestDatabase) => Promise<Record<string, string>>,
  message: RegExp,
][] = [
  [
    'whose port is taken',
    'serve',
    async () => ({ PORT: await takenPort() }),
    /^muster: the server can't listen: port \d+ is in use by another process: set PORT to a free one$/m,
  ],
  [
    'whose port is taken',
    'console',
    async () => ({ PORT: await takenPort() }),
    /^muster: the server can't listen: port \d+ is in use by another process: set PORT to a free one$/m,
  ],
  [
    'that may not read the certificate of Kafka',
    'serve',
    () =>
      Promise.resolve({
        INTAKE: 'kafka',
        KAFKA_BROKERS: '127.0.0.1:1',
        KAFKA_TLS: '1',
        KAFKA_CA_FILE: '/nowhere/ca.crt',
        TOPIC: 'postgres.*',
      }),
    /^muster: .*\/nowhere\/ca\.crt/,
  ],
  [
    'whose projection was registered as a set function',
    'serve',
    async (db) => {
      await db.query(
        `insert into muster.function (name, generation, hash, need, gate_need, gate_of, evaluated_generation)
         values ('travelers', 1, '', '{}', '{}', '{}', 1)`,
      );
      return { FUNCTIONS: 'recordings,travelers' };
    },
    /^muster: .*travelers/,
  ],
];

for (const [name, command, settings, message] of FAILURES) {
  test(`a muster ${command} ${name} reports it in one line and exits with an error`, async ({
    db,
  }) => {
    const env = { DATABASE_URL: db.url, HOST: '127.0.0.1', PORT: '0', ...(await settings(db)) };
    const { code, stdout, stderr } = await muster(env, [command]);
    expect({ code, stdout }).toEqual({
      code: message.source.includes('nowhere') ? 2 : 1,
      stdout: '',
    });
    expect(plainLines(stderr)).toEqual([expect.stringMatching(message)]);
    expect(stderr).not.toContain('after calling end on the pool');
    // it has deregistered itself
    expect(await db.query('select from muster.worker')).toEqual([]);
  });
}

test('a muster serve whose first attempt to start failed leaves nothing behind', async ({ db }) => {
  const proxy = await startProxy(db.url);
  onTestFinished(() => proxy.close());
  void proxy.loseAnswerTo('begin');
  const env = { DATABASE_URL: proxy.url, HOST: '127.0.0.1', PORT: await takenPort() };
  const { code, stderr } = await muster(env, ['serve']);
  expect(code).toBe(1);
  expect(stderr).toContain('the database does not answer, trying again');
  expect(plainLines(stderr)).toEqual([
    expect.stringMatching(
      /^muster: the server can't listen: port \d+ is in use by another process: set PORT to a free one$/m,
    ),
  ]);
  expect(await db.query('select from muster.worker')).toEqual([]);
});

function launch(command: string, env: Record<string, string>): TestProcess {
  const launched = new TestProcess(MUSTER, [command], { HOST: '127.0.0.1', PORT: '0', ...env });
  onTestFinished(() => launched.kill('SIGKILL'));
  return launched;
}

for (const command of ['serve', 'console', 'migrate']) {
  test(`muster ${command} waits for a host name, and reports the reason and the start of the wait`, async () => {
    const process = launch(command, { DATABASE_URL: 'postgres://postgres@nowhere.invalid/db' });
    const waits = 'the host of DATABASE_URL has no address: if the name is right';
    await until(() => process.stderr.split(waits).length > 2);
    expect(process.stderr).toContain('nowhere.invalid');
    const since = [...process.stderr.matchAll(/since\W+(\d{4}-[\w:.-]+)/g)].map((each) => each[1]);
    expect(since.length).toBeGreaterThan(1);
    expect(new Set(since).size).toBe(1);
    expect(process.hasExited).toBe(false);
    process.kill('SIGTERM');
    await process.exited;
  });

  test(`muster ${command} waits while the database is read-only`, async ({ db }) => {
    const name = new URL(db.url).pathname.slice(1);
    if (command === 'migrate') await db.query('drop schema muster, recordings, travelers cascade');
    const admin = new pg.Client(`${inject('serverUrl')}/postgres`);
    onTestFinished(() => admin.end());
    await admin.connect();
    await admin.query(`alter database ${name} set default_transaction_read_only = on`);
    const process = launch(command, { DATABASE_URL: db.url });
    if (command !== 'console') await until(() => process.stderr.includes('database is read-only'));
    await admin.query(`alter database ${name} reset default_transaction_read_only`);
    const code = command === 'migrate' ? (await process.exited).code : 0;
    if (command !== 'migrate') await process.serving();
    expect(code).toBe(0);
  });
}

for (const command of ['serve', 'console']) {
  test(`muster ${command} waits until its login is granted its roles`, async ({ db }) => {
    const login = `login_${randomUUID().replaceAll('-', '')}`;
    await db.query(`create role ${login} login password 'secret'`);
    const url = new URL(db.url);
    url.username = login;
    url.password = 'secret';
    const process = launch(command, { DATABASE_URL: url.href, FUNCTIONS: 'recordings' });
    await until(() => process.stderr.includes('the login may not use the state database yet'));
    const ready = () =>
      fetch(`${process.url}/health/readiness`).then(
        ({ status }) => status,
        () => 0,
      );
    if (command === 'console') await process.serving();
    expect(await ready()).toBe(command === 'console' ? 503 : 0);
    // what muster migrate grants, without a role of the whole server
    await db.query(`grant usage on schema muster to ${login}`);
    await db.query(`grant all on all tables in schema muster to ${login}`);
    await db.query(`grant execute on all functions in schema muster to ${login}`);
    await process.serving();
    await until(async () => (await ready()) === 200);
    process.kill('SIGTERM');
    expect((await process.exited).code).toBe(0);
    await db.query(`drop owned by ${login}; drop role ${login}`);
  });
}
