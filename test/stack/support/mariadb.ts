import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../../../src/local/port.ts';

/** The login of Debezium. */
export const LOGIN = { user: 'debezium', password: 'debezium' };

/**
 * The version that the server reports. Debezium's connector for MySQL refuses a server of version 10 that does
 * not know `show binary log status`, and with 5.7.20 or newer its driver reads a variable that MariaDB 10 lacks.
 */
const REPORTED_VERSION = '5.7.19-log';

/** Returns why no MariaDB can be started here; null if one can. */
export function missingMariaDb(): string | null {
  const found = ['mariadbd', 'mariadb', 'mariadb-install-db'].filter((name) => !isInstalled(name));
  return found.length === 0
    ? null
    : `the tests on MariaDB need ${found.join(', ')} (Debian: apt-get install mariadb-server-core mariadb-client-core)`;
}

function isInstalled(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

interface Options {
  /** By default 1. */
  readonly serverId?: number;
  /** Whether Debezium's connector for MySQL reads it, or the one for MariaDB. */
  readonly reader: 'mysql' | 'mariadb';
}

/** A MariaDB server with a binlog in row format. */
export class MariaDb {
  readonly port: number;
  readonly #folder: string;
  #server: ChildProcess | undefined;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
  }

  /** Creates a server in the folder; resolves when it accepts queries (2-3 s). */
  static async start(folder: string, options: Options): Promise<MariaDb> {
    mkdirSync(folder, { recursive: true });
    await promisify(execFile)('mariadb-install-db', [
      `--datadir=${join(folder, 'data')}`,
      '--no-defaults',
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      '--skip-log-bin',
      `--user=${userInfo().username}`,
    ]);
    const server = new MariaDb(folder, await freePort());
    await server.#spawn(options);
    await server.query(
      `create user '${LOGIN.user}'@'%' identified by '${LOGIN.password}'; grant all on *.* to '${LOGIN.user}'@'%'; reset master`,
    );
    return server;
  }

  async #spawn({ serverId = 1, reader }: Options): Promise<void> {
    const log = openSync(join(this.#folder, 'mariadb.log'), 'a');
    this.#server = spawn(
      'mariadbd',
      [
        '--no-defaults',
        `--datadir=${join(this.#folder, 'data')}`,
        `--socket=${this.#socket}`,
        `--pid-file=${join(this.#folder, 'pid')}`,
        `--port=${this.port}`,
        '--bind-address=127.0.0.1',
        `--server-id=${serverId}`,
        '--log-bin=mysql-bin',
        '--log-slave-updates',
        '--gtid-strict-mode=on',
        '--binlog-format=row',
        '--binlog-row-image=full',
        '--innodb-buffer-pool-size=16M',
        '--innodb-log-file-size=8M',
        '--innodb-flush-log-at-trx-commit=0',
        '--skip-name-resolve',
        ...(reader === 'mysql' ? [`--version=${REPORTED_VERSION}`] : []),
        `--user=${userInfo().username}`,
      ],
      {
        env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` },
        stdio: ['ignore', log, log],
      },
    );
    const server = this.#server;
    process.once('exit', () => server.kill('SIGKILL'));
    while (!(await this.#answers())) await sleep(50);
  }

  get #socket(): string {
    return join(this.#folder, 'socket');
  }

  async #answers(): Promise<boolean> {
    if (this.#server!.exitCode !== null) {
      throw new Error(
        `MariaDB did not start:\n${readFileSync(join(this.#folder, 'mariadb.log'), 'utf8').slice(-2_000)}`,
      );
    }
    return this.query('select 1').then(
      () => true,
      () => false,
    );
  }

  /** Runs statements, separated by semicolons, in one session; returns the rows, their columns separated by tabs. */
  async query(statements: string): Promise<string[]> {
    const { stdout } = await promisify(execFile)('mariadb', [
      '--no-defaults',
      `--socket=${this.#socket}`,
      '--user=root',
      '--batch',
      '--skip-column-names',
      `--execute=${statements}`,
    ]);
    return stdout.split('\n').filter((line) => line !== '');
  }

  /** Replicates another server from its beginning; resolves when it has all of it. */
  async follow(primary: MariaDb): Promise<void> {
    await this.query(
      `reset master; set global gtid_slave_pos = '';
       change master to master_host = '127.0.0.1', master_port = ${primary.port}, master_user = '${LOGIN.user}',
         master_password = '${LOGIN.password}', master_use_gtid = slave_pos;
       start slave`,
    );
    await this.catchUp(primary);
  }

  /** Resolves when it has all transactions of the other server. */
  async catchUp(primary: MariaDb): Promise<void> {
    const [position] = await primary.query('select @@gtid_binlog_pos');
    const [timedOut] = await this.query(`select master_gtid_wait('${position}', 30)`);
    if (timedOut !== '0') throw new Error(`it has not reached ${position}`);
  }

  /** Kills the server. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const exited = new Promise((resolve) => server.once('exit', resolve));
    server.kill('SIGKILL');
    await exited;
  }
}
