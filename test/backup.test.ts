/**
 * The commands of the guide for a dump and its restore. They run on PostgreSQL 16, because `pg_dump` refuses a newer
 * server than its own, and neither embedded PostgreSQL nor Debian has a newer one: it comes from a package of Python.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { expect, onTestFinished, test as base } from 'vitest';
import { muster, musterServe } from './cli/command.ts';
import { postRow } from './package/support/serve-set.ts';
import { blockOf } from './support/blocks.ts';
import { FIRST_MS } from './support/built.ts';
import { need } from './support/need.ts';
import type { TestProcess } from './support/process.ts';
import { pythonPackages, pythonProblem } from './support/python.ts';
import { install } from './support/server.ts';
import { sinkServer } from './support/sink.ts';
import { until } from './support/until.ts';

const DUMP = blockOf(
  'docs/operating.md: pg_dump --format custom --file orders.dump "$DATABASE_URL"',
);
const RESTORE = blockOf(
  'docs/operating.md: pg_restore --exit-on-error --no-owner --no-privileges --dbna',
);

/** The folder with `pg_dump` and `pg_restore` of PostgreSQL 16. */
const test = base.extend<{ programs: string }>({
  programs: async ({ skip }, use) => {
    need(pythonProblem(), skip);
    // it exists for Python 3.9 to 3.12
    const packages = await pythonPackages('pg-dump', ['--no-deps', 'pgserver==0.1.4']);
    await use(join(packages, 'pgserver', 'pginstall', 'bin'));
  },
});

/** Starts a server with an empty database, and returns the URL of that. */
async function newServer(): Promise<string> {
  const { server, url, remove } = await install([], '16');
  await server.start();
  onTestFinished(async () => {
    await server.stop();
    await remove();
  });
  await query(`${url}/postgres`, 'create database orders');
  return `${url}/orders`;
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query(text);
  await client.end();
  return rows;
}

async function post(to: TestProcess, table: string, after: object): Promise<void> {
  expect(await postRow(new URL(to.url).port, table, after)).toBe(204);
}

const paid = (order: number) => ({ id: order, order_id: order, status: 'captured' });
const packed = (order: number) => ({ id: order, order_id: order, weight: 1 });

test(
  'a state that was dumped while it was served goes on at another server: what ran stays, what waits is completed',
  { timeout: FIRST_MS },
  async ({ programs }) => {
    // in this repository, which has the package that functions import
    const home = join(process.cwd(), '.muster', `backup-${process.pid}`);
    onTestFinished(() => rmSync(home, { recursive: true, force: true }));
    const functions = join(home, 'functions');
    cpSync('src/local/template/functions', functions, { recursive: true });
    const sink = await sinkServer();
    const PATH = `${programs}${delimiter}${process.env['PATH']}`;
    const shell = async (text: string, url: string) => {
      const dump = join(home, 'orders.dump');
      const env = { PATH, DATABASE_URL: url, FUNCTIONS_FOLDER: functions };
      const args = ['-e', '-c', text.replace('orders.dump', dump)];
      return (await promisify(execFile)('sh', args, { env })).stdout;
    };
    const serve = async (url: string) => {
      const env = { DATABASE_URL: url, FUNCTIONS_FOLDER: functions, K_SINK: sink.url };
      const served = await musterServe(env);
      onTestFinished(async () => {
        served.end();
        await served.exited;
      });
      return served;
    };

    const url = await newServer();
    const env = { DATABASE_URL: url, FUNCTIONS_FOLDER: functions };
    expect(await muster(env, ['migrate'])).toMatchObject({ code: 0 });
    const served = await serve(url);
    await post(served, 'payment', paid(1));
    await post(served, 'parcel', packed(1));
    await post(served, 'payment', paid(2));
    await until(() => sink.ids.length === 1);
    const sent = 'select from muster.outbox where sent_at is not null';
    await until(async () => (await query(url, sent)).length === 1);
    await shell(DUMP, url);
    expect(existsSync(join(home, 'orders.dump'))).toBe(true);

    const restored = await newServer(); // without the roles that the first one has
    const said = await shell(RESTORE, restored);
    expect(said).toContain('registered: orders, generation 1\n');
    const doctor = await muster({ ...env, DATABASE_URL: restored }, ['doctor', '--no-cluster']);
    expect(doctor.stdout).toContain(', 0 problems, ');
    const again = await serve(restored);
    await post(again, 'payment', paid(1));
    await post(again, 'parcel', packed(1));
    await post(again, 'parcel', packed(2));
    await until(() => sink.ids.length === 2);
    expect(sink.bodies.map((body) => (JSON.parse(body) as { order: string }).order)).toEqual([
      '1',
      '2',
    ]);
    const shipped = await query(restored, 'select order_id from orders.shipment order by 1');
    expect(shipped).toEqual([{ order_id: '1' }, { order_id: '2' }]);
  },
);
