/** Runs the commands and statements of the guides, in their order, and checks what they do. */
import { execFile } from 'node:child_process';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { muster, musterConsole, musterServe } from './cli/command.ts';
import { blockOf } from './support/blocks.ts';
import { commitsWait } from './support/commits-wait.ts';
import type { TestProcess } from './support/process.ts';
import { install } from './support/server.ts';
import { sinkServer } from './support/sink.ts';
import { until } from './support/until.ts';

/** A server of its own: the guides create roles, which belong to the server. */
const server = await install();
const home = join('.muster', `guides-${process.pid}`);
const functions = join(home, 'functions');

beforeAll(async () => {
  await server.server.start();
  cpSync('src/local/template/functions', functions, { recursive: true });
  const file = join(functions, 'orders.ts');
  const text = readFileSync(file, 'utf8').replace('  async', '  retry: { attempts: 1 },\n  async');
  writeFileSync(file, text);
}, 60_000);
afterAll(async () => {
  await server.server.stop();
  await server.remove();
  rmSync(home, { recursive: true, force: true });
});

function urlOf(database: string, login = 'postgres', password = login): string {
  const url = new URL(`${server.url}/${database}`);
  url.username = login;
  url.password = password;
  return url.href;
}

/** Runs a block as a person would who has the variables set. */
async function shell(text: string, env: Readonly<Record<string, string>>): Promise<string> {
  const { PATH, HOME } = process.env;
  const options = { env: { PATH, HOME, FUNCTIONS_FOLDER: functions, ...env } as NodeJS.ProcessEnv };
  return (await promisify(execFile)('sh', ['-e', '-c', text], options)).stdout;
}

/** Runs a command that no block shows. */
function run(url: string, command: string): ReturnType<typeof muster> {
  return muster({ DATABASE_URL: url, FUNCTIONS_FOLDER: functions }, command.split(' '));
}

/** Sends statements, each by itself: some can't run in a transaction. */
async function send(url: string, statements: string): Promise<pg.QueryResult[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const results: pg.QueryResult[] = [];
    for (const each of statements.split(/;\s*$/m).filter((text) => text.trim() !== '')) {
      results.push(await client.query(each));
    }
    return results;
  } finally {
    await client.end();
  }
}

const refusal = (work: Promise<unknown>) =>
  work.then(
    () => null,
    (error: unknown) => (error as { code: string }).code,
  );

let lsn = 1_000_000;
interface Sent {
  readonly lsn?: number;
  readonly at?: number;
  readonly op?: 'c' | 'd';
}

/** Posts a change of a table of `shop`, and returns the status of the answer. */
async function post(
  to: TestProcess,
  table: string,
  row: object,
  { lsn: at = ++lsn, at: ts = 1_700_000_000_000 + at, op = 'c' }: Sent = {},
): Promise<number> {
  const source = { name: 'postgres', schema: 'shop', table, lsn: at, ts_ms: ts };
  const [before, after] = op === 'd' ? [row, null] : [null, row];
  const { status } = await fetch(to.url, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-type': 'dev.knative.kafka.event',
      'ce-source': '/test',
      'ce-id': `${at}`,
    },
    body: JSON.stringify({ op, before, after, source }),
  });
  return status;
}

/** Completes the set of an order. */
async function complete(to: TestProcess, order: number, weight: unknown = 1): Promise<void> {
  expect(await post(to, 'payment', { id: order, order_id: order, status: 'captured' })).toBe(204);
  expect(await post(to, 'parcel', { id: order, order_id: order, weight })).toBe(204);
}

async function serve(env: Readonly<Record<string, string>>): Promise<TestProcess> {
  const served = await musterServe({ FUNCTIONS_FOLDER: functions, ...env });
  onTestFinished(async () => {
    served.end();
    await served.exited;
  });
  return served;
}

test(
  'the roles of the guide to security serve, read and count, and can do nothing else',
  { timeout: 60_000 },
  async () => {
    await send(
      urlOf('postgres'),
      blockOf("docs/security.md: create role orders_owner login createrole password 'change-m"),
    );
    const migrate = blockOf(
      'docs/security.md: DATABASE_URL=postgres://orders_owner:change-me@db.example.co',
    );
    const { host } = new URL(server.url);
    const migrated = await shell(migrate.replace('db.example.com', host), {});
    expect(migrated).toContain('registered: orders, generation 1\n');
    expect(migrated).not.toContain('no roles');
    const owner = urlOf('orders', 'orders_owner', 'change-me');
    await send(
      owner,
      blockOf("docs/security.md: create role orders_serve login password 'change-me' in role"),
    );

    const served = await serve({ DATABASE_URL: urlOf('orders', 'orders_serve', 'change-me') });
    await complete(served, 1);
    const reader = urlOf('orders', 'orders_console', 'change-me');
    await until(async () => {
      const [found] = await send(reader, 'select from orders.shipment');
      return found!.rowCount === 1;
    });
    const console = await musterConsole({ FUNCTIONS_FOLDER: functions, DATABASE_URL: reader });
    const answer = await fetch(`${console.url}/api/functions`);
    expect(await answer.json()).toMatchObject({ functions: [{ name: 'orders' }] });
    console.end();
    await console.exited;
    const keda = urlOf('orders', 'orders_keda', 'change-me');
    const [due] = await send(keda, 'select total from muster.due');
    expect(due!.rows).toHaveLength(1);

    const DENIED = '42501';
    for (const [login, statement] of [
      [reader, 'delete from muster.parked'],
      [reader, "insert into orders.shipment (order_id, weight) values ('x', 1)"],
      [keda, 'select from muster.sets'],
      [keda, 'select from orders.shipment'],
    ] as const) {
      expect([statement, await refusal(send(login, statement))]).toEqual([statement, DENIED]);
    }
    // what the guide says about commands
    expect(await post(served, 'parcel', { order_id: 2 })).toBe(202); // without an id
    expect(await post(served, 'parcel', { order_id: 3 })).toBe(202);
    const pod = urlOf('orders', 'orders_serve', 'change-me');
    const operator = urlOf('orders', 'orders_operator', 'change-me');
    const redeliver = `redeliver 1 --to ${served.url}`;
    for (const [login, command, outcome] of [
      [reader, 'pause orders', /42501|denied/],
      [pod, redeliver, /42501|denied/],
      [pod, 'pause orders', /^$/],
      [pod, 'discard parked 2', /^$/],
      [operator, redeliver, /1 event could not be ingested yet/],
    ] as const) {
      const { stderr } = await run(login, command);
      expect([command, stderr]).toEqual([command, expect.stringMatching(outcome)]);
    }
    await send(urlOf('postgres'), "create role stranger login password 'stranger'");
    expect(await refusal(send(urlOf('orders', 'stranger'), 'select 1'))).toBe(DENIED);
  },
);

/** Everything that is stored in a database, as text. */
async function everythingIn(url: string): Promise<string> {
  const [tables] = await send(
    url,
    `select oid::regclass as name from pg_class
     where relkind = 'r' and relnamespace = 'muster'::regnamespace`,
  );
  const texts: string[] = [];
  for (const { name } of tables!.rows as { name: string }[]) {
    const [rows] = await send(url, `select t::text as text from ${name} t`);
    texts.push(...(rows!.rows as { text: string }[]).map(({ text }) => `${name}: ${text}`));
  }
  return texts
    .join('\n')
    .replaceAll(/\\x([\da-f]+)/g, (_all, hex: string) =>
      Buffer.from(hex, 'hex').toString('latin1'),
    );
}

function tablesWith(text: string, stored: string): Set<string> {
  const lines = stored.split('\n').filter((line) => line.includes(text));
  return new Set(lines.map((line) => line.split(':')[0]!));
}

async function newDatabase(name: string): Promise<string> {
  await send(urlOf('postgres'), `create database ${name}`);
  const url = urlOf(name);
  expect(await run(url, 'migrate')).toMatchObject({ code: 0 });
  return url;
}

test(
  'after a deletion at the source and the commands of the guide, only the error of a handler has data of a row, until the purge',
  { timeout: 60_000 },
  async () => {
    const url = await newDatabase('people');
    const sink = await sinkServer();
    sink.answer = () => 400;
    const served = await serve({ DATABASE_URL: url, K_SINK: sink.url });
    // its handler fails, because this is no weight, and the sink refuses the event about it
    await complete(served, 4711, 'Ada');
    await send(url, 'alter table muster.parked alter column id restart with 17');
    expect(await post(served, 'parcel', { order_id: 'Ada' })).toBe(202); // without an id
    await until(async () => {
      const stored = await everythingIn(url);
      return stored.includes('answered 400');
    });
    expect(tablesWith('Ada', await everythingIn(url))).toEqual(
      new Set(['muster.member', 'muster.sets', 'muster.outbox', 'muster.parked']),
    );
    const found = await shell(blockOf('docs/security.md: npx muster parked --json'), {
      DATABASE_URL: url,
    });
    expect(found).toContain('Ada');
    expect(found).toContain('1 event discarded');
    expect(found).toContain('1 run discarded');
    const row = { id: 4711, order_id: 4711, weight: 'Ada' };
    expect(await post(served, 'parcel', row, { op: 'd' })).toBe(204);
    const left = await everythingIn(url);
    // the error of the handler quotes its row; the purge deletes it
    expect(left.split('\n').filter((line) => line.includes('Ada'))).toEqual([
      expect.stringMatching(/^muster\.sets: .*discarded by a person; the last error/),
    ]);
  },
);

test('the doctor and the sizes of the guide to operating', { timeout: 60_000 }, async () => {
  const url = await newDatabase('sizes');
  const [sizes] = await send(
    url,
    blockOf('docs/operating.md: select relname, pg_size_pretty(pg_total_relation_size(oid))'),
  );
  expect(sizes!.rows).toHaveLength(5);
  const checked = await shell(
    `${blockOf('docs/operating.md: npx muster doctor --no-cluster --pods 8').trim()} || true`,
    { DATABASE_URL: url },
  );
  expect(checked).toContain('enough for 8 pods with 184 in total');
});

test(
  'a state that was restored to an earlier time gets the events again, and runs what it lost under the same ids',
  { timeout: 60_000 },
  async () => {
    const url = await newDatabase('before');
    const sink = await sinkServer();
    const served = await musterServe({
      FUNCTIONS_FOLDER: functions,
      DATABASE_URL: url,
      K_SINK: sink.url,
    });
    const first = lsn;
    await complete(served, 1);
    await until(() => sink.ids.length === 1);
    // a copy needs the database for itself, so it has no connections at the time of the backup
    served.end();
    await served.exited;
    await send(urlOf('postgres'), 'create database restored template before');
    const again = await serve({ DATABASE_URL: url, K_SINK: sink.url });
    await complete(again, 2);
    await until(() => sink.ids.length === 2);

    const restored = urlOf('restored');
    const said = await shell(blockOf('docs/operating.md: npx muster migrate'), {
      DATABASE_URL: restored,
    });
    expect(said).toContain('nothing to migrate');
    const after = await serve({ DATABASE_URL: restored, K_SINK: sink.url });
    lsn = first; // the topic, from the beginning
    await complete(after, 1);
    await complete(after, 2);
    await until(() => sink.ids.length === 3);
    expect(sink.ids[2]).toBe(sink.ids[1]);
    expect(sink.ids[2]).toContain('2');
    const [shipped] = await send(restored, 'select order_id from orders.shipment order by 1');
    expect(shipped!.rows).toEqual([{ order_id: '1' }, { order_id: '2' }]);
  },
);

test(
  'changes of a source whose log started over are ingested after the commands of the guide',
  { timeout: 60_000 },
  async () => {
    const url = await newDatabase('source');
    const served = await serve({ DATABASE_URL: url, SINK: 'stdout' });
    await complete(served, 1);
    const later = 1_700_000_000_000 + lsn + 3_600_000;
    const payment = { id: 2, order_id: 2, status: 'captured' };
    expect(await post(served, 'payment', payment, { lsn: 10, at: later })).toBe(202);
    const parcel = { id: 2, order_id: 2, weight: 1 };
    expect(await post(served, 'parcel', parcel, { lsn: 11, at: later + 1 })).toBe(202);
    const text = blockOf('docs/operating.md: npx muster epoch bump postgres');
    const said = await shell(text.replace('http://127.0.0.1:8080', served.url), {
      DATABASE_URL: url,
    });
    expect(said).toContain('source postgres is now in epoch 1');
    await until(() => served.stdout.includes('"order":"2"'));
  },
);

const soon = (command: string) => command.replace('orders', 'orders --wait 0');

test(
  'lost changes are found and corrected by the commands of the guide',
  { timeout: 60_000 },
  async () => {
    const url = await newDatabase('lost');
    await send(
      url,
      `create schema shop;
     create table shop.payment (id int primary key, order_id int, status text);
     create table shop.parcel (id int primary key, order_id int, weight int);
     insert into shop.payment values (1, 1, 'captured'), (2, 2, 'captured');
     insert into shop.parcel values (1, 1, 1), (2, 2, 1);`,
    );
    const served = await serve({ DATABASE_URL: url, SINK: 'stdout' });
    await complete(served, 1);
    await post(served, 'payment', { id: 2, order_id: 2, status: 'captured' });
    const text = blockOf('docs/operating.md: npx muster reconcile orders --source "$SOURCE_URL"');
    const [look, repair] = text.trim().split('\n') as [string, string];
    const env = { DATABASE_URL: url, SOURCE_URL: url };
    const lost = 'packed 2: is not held in its set 2\n';
    expect(await shell(`${soon(look)} || true`, env)).toContain(lost);
    expect(await shell(soon(repair), env)).toContain('4 rows compared, 1 differs, 1 corrected');
    await until(() => served.stdout.includes('"order":"2"'));
  },
);

test('the query of a poller in the guide is valid, and finds complete recordings', async () => {
  await send(urlOf('postgres'), 'create database poller');
  const url = urlOf('poller');
  await send(
    url,
    `create schema datastore;
     create table datastore.signal (id int, recording text, sensor_type text, processed boolean not null default false);
     insert into datastore.signal values (1, 'whole', 'eeg'), (2, 'whole', 'accelerometer'), (3, 'half', 'eeg');`,
  );
  const [found] = await send(
    url,
    blockOf('docs/from-polling.md: select id, recording from datastore.signal'),
  );
  expect(found!.rows).toEqual([
    { id: 1, recording: 'whole' },
    { id: 2, recording: 'whole' },
  ]);
});

const alter = (change: string) =>
  send(urlOf('postgres'), `alter system ${change};\nselect pg_reload_conf();`);

test(
  'while no synchronous standby is connected events are answered 503, and ingested once it is there again',
  { timeout: 60_000 },
  async () => {
    const url = await newDatabase('standby');
    const served = await serve({
      DATABASE_URL: url,
      SINK: 'stdout',
      STATEMENT_TIMEOUT_SECONDS: '1',
    });
    await complete(served, 1);
    await until(() => served.stdout.includes('"order":"1"'));
    await alter(`set synchronous_standby_names = 'nobody'`);
    try {
      await commitsWait(urlOf('postgres'));
      const payment = { id: 2, order_id: 2, status: 'captured' };
      const begun = performance.now();
      expect(await post(served, 'payment', payment)).toBe(503);
      const seconds = (performance.now() - begun) / 1000;
      expect(seconds).toBeGreaterThan(5);
      expect(seconds).toBeLessThan(10);
    } finally {
      await alter('reset synchronous_standby_names');
    }
    await until(
      async () => (await post(served, 'payment', { id: 3, order_id: 3, status: 'x' })) === 204,
    );
    await complete(served, 2);
    await until(() => served.stdout.includes('"order":"2"'));
    expect(served.stdout.match(/order\.shipped/g)).toHaveLength(2);
  },
);
