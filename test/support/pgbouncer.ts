import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { need } from './need.ts';
import { test as base, type TestDatabase } from './test.ts';
import { until } from './until.ts';

const missing =
  spawnSync('pgbouncer', ['--version']).status === 0 ? null : 'pgbouncer is not installed';

/** A test behind PgBouncer; skipped if it is not installed, unless REQUIRE_STACK is 1. */
export const test = base.extend<{ pooled: void }>({
  pooled: [
    async ({ skip }, use) => {
      need(missing, skip);
      await use();
    },
    { auto: true },
  ],
});

/** Starts PgBouncer in front of the test's server until the end of the test; returns the database's URL. */
export async function pgbouncer(
  db: Pick<TestDatabase, 'url'>,
  settings: Readonly<Record<string, string>>,
): Promise<string> {
  const url = new URL(db.url);
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'muster-pgbouncer-'));
  const lines = Object.entries({
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'plain',
    auth_file: join(folder, 'users'),
    default_pool_size: '20',
    server_login_retry: '1', // it holds up a client for this long once the server has refused a login; 15 by default
    ...settings,
  }).map(([name, value]) => `${name} = ${value}`);
  await writeFile(
    join(folder, 'pgbouncer.ini'),
    `[databases]\n* = host=${url.hostname} port=${url.port}\n[pgbouncer]\n${lines.join('\n')}\n`,
  );
  await writeFile(join(folder, 'users'), `"${url.username}" "${url.password}"\n`);
  await chmod(folder, 0o755);
  // It refuses to run as root.
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const child = spawn('pgbouncer', ['-q', ...user, join(folder, 'pgbouncer.ini')], {
    stdio: 'ignore',
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await rm(folder, { recursive: true });
  });
  await until(() => listens(port));
  url.port = String(port);
  return url.href;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
