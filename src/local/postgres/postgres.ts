import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '../port.ts';
import { checkVersion, initialise, urlOf } from './data.ts';
import { type Home, findHome } from './home.ts';
import { type Running, disownPidFile, findRunning, stopServer } from './process.ts';
import { watchOver } from '../watcher.ts';

export interface PostgresOptions {
  /** The preferred folder for data, password and log; another one if the server's user can't access it. */
  readonly folder: string;
  /** Deletes what an earlier run left in the folder. */
  readonly fresh?: boolean;
  /** Server settings in addition to `wal_level=logical`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The server's port; any free port by default. */
  readonly port?: number;
  /** Called with human-readable progress messages. */
  readonly say?: (line: string) => void;
  /** Binaries to use instead of the ones that npm installed. */
  readonly native?: string;
  /** How long to wait while another live process uses the folder, in milliseconds; 20 s by default. */
  readonly patience?: number;
}

export interface Postgres {
  /** Database `app`, user `postgres` (superuser). */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** The folder that is actually used. */
  readonly folder: string;
  /** Resolves when the server has exited, requested or not. */
  readonly ended: Promise<void>;
  /** Lets this process exit while the server runs, which stops it. */
  unref(): void;
  stop(): Promise<void>;
}

/** Seconds by which a server outlives a killed parent, so that the parent's other children stop first. */
const OUTLIVES = 2;

/** A lock held by the process that uses a server; the kernel closes a killed process's connection. */
const OWNER = 'select pg_try_advisory_lock(20260, 3) as owned';

/**
 * Starts PostgreSQL on a folder, by default on a free port of 127.0.0.1, and keeps the folder's data. A
 * server that a killed process left running on the folder is stopped first. The server stops when this
 * process exits, for whatever reason; call `stop` to wait for it.
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
    unref: () => (owner as pg.Client & { unref(): void }).unref(), // its types lack the method
    stop: () => (stopping ??= stop()),
  };
}

/** Frees the folder from a server that was started earlier: stops the server if its owner is dead. */
async function endEarlier(
  home: Home,
  say: (line: string) => void,
  patience: number,
): Promise<void> {
  const data = join(home.folder, 'data');
  const since = Date.now();
  let hasLogged = false;
  for (let running; (running = findRunning(data)); await sleep(100)) {
    const state = await ownership(home, running);
    const waited = Date.now() - since;
    if (state === 'orphan' || (state === 'busy' && waited > patience)) {
      say(
        `stopping the PostgreSQL server that an earlier run left running (process ${running.pid})`,
      );
      await stopServer(running.pid, data);
    } else if (state === 'owned' && waited > patience) {
      throw inUse(home.folder, running.port);
    } else if (state === 'owned' && !hasLogged) {
      hasLogged = true;
      say(`another process is using ${home.folder}; waiting for it to stop`);
    }
  }
}

/** `busy`: the server accepts no connections, because it is starting, stopping or recovering. */
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
    `${folder} is in use by another process (PostgreSQL on port ${port}); stop that one first`,
  );
}

/** Has its own process group: Ctrl-C reaches a terminal's whole group, but the parts stop in order. */
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
    client.on('error', () => {}); // 'end' reports that the server has exited
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

/** Checks the data folder: a server without a password would also accept us if it took the port first. */
async function requireData(client: pg.Client, data: string): Promise<void> {
  const { rows } = await client.query(`select current_setting('data_directory') as folder`);
  if (rows[0].folder !== data) {
    throw new Error(
      `the PostgreSQL server that answers stores its data in ${rows[0].folder}, not ${data}`,
    );
  }
}

/** Whether the password is wrong: waiting does not help then. */
function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '28P01';
}

function newClient(home: Home, port: number): pg.Client {
  return new pg.Client({
    connectionString: urlOf(home, port, 'postgres'),
    connectionTimeoutMillis: 5_000,
  });
}
