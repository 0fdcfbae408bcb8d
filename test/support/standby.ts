import { execFileSync } from 'node:child_process';
import { chownSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { serverIn } from './server.ts';
import type { TestDatabase } from './test.ts';
import { until } from './until.ts';

/** A started standby of a test's server. */
export interface Standby {
  /** Its database `postgres`. */
  readonly url: string;
  stop(): Promise<void>;
}

export interface StandbyOptions {
  /** By which the primary knows it. */
  readonly name: string;
  /** Arguments of its process. */
  readonly flags?: readonly string[];
}

/** Starts a standby from a copy of the primary's files, and resolves when it accepts connections. */
export async function standbyOf(
  primary: TestDatabase,
  { name, flags = [] }: StandbyOptions,
): Promise<Standby> {
  const copy = await backUp(primary, name);
  const { hostname, port, username, password } = new URL(primary.url);
  const conninfo = `host=${hostname} port=${port} user=${username} password=${password} dbname=postgres application_name=${name}`;
  const { uid, gid } = statSync(copy);
  writeFileSync(join(copy, 'standby.signal'), '');
  chownSync(join(copy, 'standby.signal'), uid, gid);
  const { server, url } = await serverIn(copy, ['-c', `primary_conninfo=${conninfo}`, ...flags]);
  // start() waits for a line that only a primary logs, and rejects when the server stops
  server.start().catch(() => {});
  await until(() => accepts(`${url}/postgres`));
  return {
    url: `${url}/postgres`,
    async stop() {
      await server.stop();
      rmSync(copy, { recursive: true, force: true });
    },
  };
}

/** Copies the files of a running server, except its slots, next to them; returns the folder. */
async function backUp(primary: TestDatabase, name: string): Promise<string> {
  const client = new pg.Client(primary.url);
  await client.connect(); // a backup ends with its session
  try {
    const { rows } = await client.query<{ folder: string }>(
      `select current_setting('data_directory') as folder, pg_backup_start('copy', true)`,
    );
    const { folder } = rows[0]!;
    const copy = `${folder}-${name}`;
    execFileSync('cp', ['-a', folder, copy]);
    const stopped = await client.query<{ labelfile: string }>(
      'select * from pg_backup_stop(false)',
    );
    writeFileSync(join(copy, 'backup_label'), stopped.rows[0]!.labelfile);
    const { uid, gid } = statSync(copy);
    chownSync(join(copy, 'backup_label'), uid, gid);
    rmSync(join(copy, 'postmaster.pid'));
    execFileSync('find', [join(copy, 'pg_replslot'), '-mindepth', '1', '-delete']);
    return copy;
  } finally {
    await client.end();
  }
}

async function accepts(url: string): Promise<boolean> {
  const client = new pg.Client(url);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
