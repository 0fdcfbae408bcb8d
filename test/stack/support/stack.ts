import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Broker } from '../../../dev/stack/broker.ts';
import { Connect } from '../../../dev/stack/connect.ts';
import type { Connector } from '../../../dev/stack/connector.ts';
import { type Installation, install, installMySqlConnectors } from '../../../dev/stack/install.ts';

/** Kafka and Kafka Connect for all tests of a worker, started on first use. */
export class Stack {
  readonly #folder = mkdtempSync(join(tmpdir(), 'muster-stack-'));
  readonly #connects: Connect[] = [];
  #installation: Promise<Installation> | undefined;
  #broker: Promise<Broker> | undefined;
  #connect: Promise<Connect> | undefined;

  broker(): Promise<Broker> {
    return (this.#broker ??= this.install().then((it) =>
      Broker.start(it, join(this.#folder, 'kafka')),
    ));
  }

  /** The shared Connect worker, whose connectors are managed through REST. */
  connect(): Promise<Connect> {
    return (this.#connect ??= this.ownConnect([]));
  }

  /** Starts a Connect worker that a test may kill. */
  async ownConnect(connectors: Connector[], offsetFlushInterval?: number): Promise<Connect> {
    return this.#startConnect(await this.install(), connectors, offsetFlushInterval);
  }

  /** Starts a Connect worker that also has Debezium's connectors for MySQL and MariaDB. */
  async connectWithMySql(connectors: Connector[]): Promise<Connect> {
    const [installation, plugins] = await Promise.all([
      this.install(),
      installMySqlConnectors(log),
    ]);
    const both = { ...installation, plugins: `${installation.plugins},${plugins}` };
    return this.#startConnect(both, connectors);
  }

  async #startConnect(
    installation: Installation,
    connectors: Connector[],
    offsetFlushInterval?: number,
  ): Promise<Connect> {
    const folder = join(this.#folder, `connect-${this.#connects.length}`);
    const broker = (await this.broker()).address;
    const connect = await Connect.start({
      installation,
      folder,
      broker,
      connectors,
      ...(offsetFlushInterval === undefined ? {} : { offsetFlushInterval }),
    });
    this.#connects.push(connect);
    return connect;
  }

  /** Creates a folder that is deleted with the stack. */
  newFolder(): string {
    return mkdtempSync(join(this.#folder, 'test-'));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#connects.map((each) => each.kill()));
    await (await this.#broker)?.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Fetches everything on the first call. */
  install(): Promise<Installation> {
    return (this.#installation ??= install(log));
  }
}

function log(line: string): void {
  process.stdout.write(`stack: ${line}\n`);
}
