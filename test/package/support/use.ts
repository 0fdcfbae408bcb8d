/** What a user does with a new project, whoever it is and whatever has installed it. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import { freePort } from '../../../src/local/port.ts';
import { blockOf } from '../../support/blocks.ts';
import { Dev } from './dev.ts';
import { command, type User } from './project.ts';
import { serveSet } from './serve-set.ts';

const INSERT = blockOf(
  'docs/your-repository.md: insert into shop.parcel (order_id, weight) values (4711, 300',
);

/** How this user runs commands. */
export interface Habits {
  /** The line that runs the script `dev`, to which options may be added. */
  readonly dev: string;
  /** The words before the name of a command of Muster. */
  readonly muster: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Another user of the machine than that of the test. */
  readonly user?: User;
}

/** Inserts the rows of a set into the database that `muster dev` has started, and returns once the handler has run. */
export async function insertRows(dev: Dev, introduction: string): Promise<pg.Client> {
  const [url] = /postgres:\/\/\S+/.exec(introduction)!;
  const shop = new pg.Client(url);
  shop.on('error', () => {}); // its server stops first
  await shop.connect();
  onTestFinished(() => shop.end());
  await shop.query(INSERT);
  expect(await dev.says('"order":"4711"')).toContain('order.shipped');
  return shop;
}

/** Develops, builds and serves the project, and writes its manifests. */
export async function useAll(folder: string, { dev: line, muster, env, user }: Habits) {
  const more = { ...(env && { env }), ...(user && { user }) };
  const dev = new Dev(folder, await freePort(), await freePort(), { line, ...more });
  const introduction = await dev.says('Ctrl-C ends.');
  await dev.says('following shop.parcel, shop.payment');
  await insertRows(dev, introduction);
  expect(await dev.stop()).toBe(0);

  const run = (...args: string[]) => command(folder, [...muster, ...args], env, user);
  expect(await run('build')).toMatchObject({ code: 0, stderr: '' });
  const bundle = join(folder, 'dist/muster.js');
  const served = `node "$BUNDLE" migrate\nexec node "$BUNDLE" serve`;
  expect(await serveSet('/', served, { BUNDLE: bundle, ...env }, user)).toContain('order.shipped');
  const options = ['--image', 'orders', '--brokers', 'kafka:9092'];
  expect(await run('manifests', ...options)).toMatchObject({ code: 0, stderr: '' });
  expect(readdirSync(join(folder, 'manifests'))).toContain('kustomization.yaml');
}
