import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '../lib/port.ts';
import { checkVersion, initialise, urlOf } from './data.ts';
import { type Home, findHome } from './home.ts';
import { type Running, disownPidFile, findRunning, stopServer } from './process.ts';
import { watchOver } from '../lib/watcher.ts';

export interface PostgresOptions {
  /** Where data, password and log are to lie; they go elsewhere if the server's user can't reach it. */
  readonly folder: string;
  /** Throws away what an earlier run left in the folder. */
  readonly fresh?: boolean;
  /** Server settings beyond `wal_level=logical`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Where it listens; any free port unless given. */
  readonly port?: number;
  /** Told what is being done, for people. */
  readonly say?: (line: string) => void;
  /** Binaries to use instead of those that npm installed. */
  readonly native?: string;
  /** How long to wait, in milliseconds, while another live process uses the folder; 20 s unless given. */
  readonly patience?: number;
}

export interface Postgres {
  /** Database `app`, user `postgres` (superuser). */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Where it lies in fact. */
  readonly folder: string;
  /** Settles when the server is gone, asked or not. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** A server outlives a killed parent by so many seconds: the parent's other children end in order. */
const OUTLIVES = 2;

/** Held by whoever uses a server, as long as it lives: the kernel closes a killed process's connection. */
const OWNER = 'select pg_try_advisory_lock(20260, 3) as owned';

/**
 * Starts PostgreSQL on a folder, on a free port of 127.0.0.1 unless told otherwise, and keeps the folder's data. A server
 * that a killed process left behind on the folder is stopped first. The server ends with this
 * process, however that ends; call `stop` to wait for it.
 */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const { say = () => {}, patience = 20_000, fresh = false } = options;
  const home = findHome(options.folder, say, options.native);
  const data = join(home.folder, 'data');
  await endEarlier(home, say, patience);
  if (fresh) {
    for (const name of ['data', 'password', 'postgres.log']) {
      rmSync(join(home.folder, name), { recursive: true, force: true });
    }
  }
  if (!existsSync(data)) initialise(home);
  checkVersion(home);
  disownPidFile(data);

  const port = options.port ?? (await freePort());
  const server = spawnServer(home, port, options.settings);
  const pid = server.pid!;
  const watcher = watchOver(pid, 'INT', OUTLIVES, home.user);
  const owner = await connectWhenReady(home, port, server).catch((error: unknown) => {
    watcher.kill('SIGKILL');
    throw error;
  });
  await owner.query(OWNER);
  const { rowCount } = await owner.query(`select from pg_database where datname = 'app'`);
  if (rowCount === 0) await owner.query('create database app');

  let stopping: Promise<void> | undefined;
  const stop = async () => {
    watcher.kill('SIGKILL');
    await stopServer(pid, data);
  };
  return {
    url: urlOf(home, port, 'app'),
    port,
    pid,
    folder: home.folder,
    ended: new Promise((resolve) => owner.once('end', resolve)),
    stop: () => (stopping ??= stop()),
  };
}

/** Frees the folder of a server that somebody started earlier: stops it if its owner is dead. */
async function endEarlier(
  home: Home,
  say: (line: string) => void,
  patience: number,
): Promise<void> {
  const data = join(home.folder, 'data');
  const since = Date.now();
  let told = false;
  for (let running; (running = findRunning(data)); await sleep(100)) {
    const state = await ownership(home, running);
    const waited = Date.now() - since;
    if (state === 'orphan' || (state === 'busy' && waited > patience)) {
      say(`stopping the PostgreSQL that an earlier run left behind (process ${running.pid})`);
      await stopServer(running.pid, data);
    } else if (state === 'owned' && waited > patience) {
      throw inUse(home.folder, running.port);
    } else if (state === 'owned' && !told) {
      told = true;
      say(`another process uses ${home.folder}; waiting for it to end`);
    }
  }
}

/** `busy`: the server takes no connections, because it starts, stops or recovers. */
async function ownership(home: Home, { port }: Running): Promise<'owned' | 'orphan' | 'busy'> {
  const client = newClient(home, port);
  try {
    await client.connect();
    const { rows } = await client.query(OWNER);
    return rows[0].owned ? 'orphan' : 'owned';
  } catch {
    return 'busy';
  } finally {
    await client.end().catch(() => {});
  }
}

function inUse(folder: string, port: number): Error {
  return new Error(
    `${folder} is in use by another process (PostgreSQL on port ${port}); end that one first`,
  );
}

/** In a process group of its own: Ctrl-C goes to a terminal's whole group, and the end has its order. */
function spawnServer({ native, folder, user }: Home, port: number, settings = {}): ChildProcess {
  const all = {
    wal_level: 'logical',
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    ...settings,
  };
  const log = openSync(join(folder, 'postgres.log'), 'a');
  const server = spawn(
    join(native, 'bin', 'postgres'),
    [
      '-D',
      join(folder, 'data'),
      '-p',
      String(port),
      ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    {
      cwd: '/',
      env: { PATH: process.env['PATH'] },
      detached: true,
      stdio: ['ignore', log, log],
      ...user,
    },
  );
  closeSync(log);
  server.unref();
  return server;
}

async function connectWhenReady(
  home: Home,
  port: number,
  server: ChildProcess,
): Promise<pg.Client> {
  for (;;) {
    const client = newClient(home, port);
    client.on('error', () => {}); // the server's end is told by 'end'
    try {
      await client.connect();
      await requireData(client, join(home.folder, 'data'));
      return client;
    } catch (error) {
      await client.end().catch(() => {});
      if (server.exitCode !== null || server.signalCode !== null || isRefusal(error)) {
        const log = readFileSync(join(home.folder, 'postgres.log'), 'utf8').trimEnd().split('\n');
        throw new Error(`PostgreSQL did not start:\n${log.slice(-8).join('\n')}`, { cause: error });
      }
      await sleep(20);
    }
  }
}

/** A server that trusts everybody would let us in too, if it had taken the port before ours. */
async function requireData(client: pg.Client, data: string): Promise<void> {
  const { rows } = await client.query(`select current_setting('data_directory') as folder`);
  if (rows[0].folder !== data) {
    throw new Error(
      `the PostgreSQL that answers stores its data in ${rows[0].folder}, not ${data}`,
    );
  }
}

/** Wrong password: waiting does not help. */
function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '28P01';
}

function newClient(home: Home, port: number): pg.Client {
  return new pg.Client({
    connectionString: urlOf(home, port, 'postgres'),
    connectionTimeoutMillis: 5_000,
  });
}
