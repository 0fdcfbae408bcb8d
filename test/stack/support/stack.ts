import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Broker } from '../../../dev/stack/broker.ts';
import { Connect } from '../../../dev/stack/connect.ts';
import type { Connector } from '../../../dev/stack/connector.ts';
import { type Installation, install } from '../../../dev/stack/install.ts';

/** Kafka and Kafka Connect for all tests of a worker, started when a test first needs them. */
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

  /** The worker that tests share: connectors come and go through REST. */
  connect(): Promise<Connect> {
    return (this.#connect ??= this.ownConnect([]));
  }

  /** A worker that a test may kill. */
  async ownConnect(connectors: Connector[], offsetFlushInterval?: number): Promise<Connect> {
    const folder = join(this.#folder, `connect-${this.#connects.length}`);
    const broker = (await this.broker()).address;
    const installation = await this.install();
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

  /** A folder that goes with the stack. */
  newFolder(): string {
    return mkdtempSync(join(this.#folder, 'test-'));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#connects.map((each) => each.kill()));
    await (await this.#broker)?.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Fetches everything, the first time. */
  install(): Promise<Installation> {
    return (this.#installation ??= install((line) => process.stdout.write(`stack: ${line}\n`)));
  }
}
