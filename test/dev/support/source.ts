import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { test as base } from 'vitest';
import { startPostgres } from '../../../src/local/postgres/postgres.ts';
import { THROWAWAY } from './throwaway.ts';

/** Creates a folder that the server's user can enter, unlike those of mkdtemp. */
export async function newFolder(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-dev-'));
  await chmod(folder, 0o755);
  return folder;
}

/** Resolves once the condition holds; otherwise the test times out. */
export async function until(condition: () => unknown): Promise<void> {
  while (!(await condition())) await sleep(10);
}

/** A test with a server per file, and a database with the original table per test. */
export const test = base.extend<{ server: string; url: string; client: pg.Client }>({
  server: [
    async ({}, use) => {
      const folder = await newFolder();
      const server = await startPostgres({
        folder: join(folder, 'pg'),
        settings: THROWAWAY,
      });
      await use(server.url);
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
    { scope: 'file' },
  ],
  url: async ({ server, task }, use) => {
    const name = `t${task.id.replaceAll(/\W/g, '_')}`;
    const admin = new pg.Client(server);
    await admin.connect();
    await admin.query(`create database ${name}`);
    await admin.end();
    await use(server.replace(/app$/, name));
  },
  client: async ({ url }, use) => {
    const client = new pg.Client(url);
    await client.connect();
    await client.query(readFileSync('dev/demo/datastore.sql', 'utf8'));
    await use(client);
    await client.end();
  },
});
