import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../src/local/port.ts';
import type { Connector } from './connector.ts';
import type { Installation } from './install.ts';
import { Jvm } from './jvm.ts';
import { toProperties } from './settings.ts';

export interface ConnectOptions {
  readonly installation: Installation;
  /** The folder for offsets and logs. */
  readonly folder: string;
  /** Kafka's bootstrap server. */
  readonly broker: string;
  /** Started with the worker and after a crash; connectors added through REST are kept only in memory. */
  readonly connectors: readonly Connector[];
  /** Interval between offset commits, in milliseconds: after a crash, at most this much is sent again. */
  readonly offsetFlushInterval?: number;
}

/** Kafka Connect in standalone mode. */
export class Connect {
  readonly #url: string;
  readonly #offsetsFile: string;
  /** The connectors started with the worker, by name. */
  readonly #connectors: Map<string, Connector>;
  readonly #start: () => Promise<Jvm>;
  #jvm: Jvm;

  private constructor(
    url: string,
    offsetsFile: string,
    connectors: readonly Connector[],
    start: () => Promise<Jvm>,
    jvm: Jvm,
  ) {
    this.#url = url;
    this.#offsetsFile = offsetsFile;
    this.#connectors = new Map(connectors.map((each) => [each.name, each]));
    this.#start = start;
    this.#jvm = jvm;
  }

  /** Resolves when the worker and all its connectors run (3-5 s). */
  static async start(options: ConnectOptions): Promise<Connect> {
    const { installation, folder, connectors } = options;
    mkdirSync(folder, { recursive: true });
    const url = `http://127.0.0.1:${await freePort()}`;
    const worker = join(folder, 'worker.properties');
    writeFileSync(worker, toProperties(workerSettings(options, url)));
    const files = connectors.map((connector) => writeConnector(folder, connector));
    const start = () =>
      Jvm.start({
        title: 'Kafka Connect',
        classpath: installation.classpath,
        mainClass: 'org.apache.kafka.connect.cli.ConnectStandalone',
        args: [worker, ...files],
        heap: '256m',
        log: join(folder, 'connect.log'),
      });
    const connect = new Connect(url, join(folder, 'offsets'), connectors, start, await start());
    await connect.#ready(connectors);
    return connect;
  }

  /** The file that stores the offsets of its connectors. */
  get offsetsFile(): string {
    return this.#offsetsFile;
  }

  get pid(): number {
    return this.#jvm.pid;
  }

  /** Resolves when the current process has exited. */
  get ended(): Promise<string> {
    return this.#jvm.ended;
  }

  /** Adds a connector until the worker restarts; resolves when the connector runs. */
  async add(connector: Connector): Promise<void> {
    await this.#call('POST', '/connectors', connector);
    await this.#ready([connector]);
  }

  /** Changes the settings of a connector started with the worker, effective at the next `restart`. */
  configure(connector: Connector): void {
    writeConnector(dirname(this.#offsetsFile), connector);
    this.#connectors.set(connector.name, connector);
  }

  /** Removes a connector with its offsets: one of the same name starts from scratch. */
  async remove(name: string): Promise<void> {
    await this.#call('PUT', `/connectors/${name}/stop`);
    while ((await this.#state(name)) !== 'STOPPED') await sleep(50);
    await this.#call('DELETE', `/connectors/${name}/offsets`);
    await this.#call('DELETE', `/connectors/${name}`);
  }

  kill(): Promise<void> {
    return this.#jvm.kill();
  }

  /** Restarts the worker with the connectors it was started with, after `kill` or `stop`. */
  async restart(): Promise<void> {
    this.#jvm = await this.#start();
    await this.#ready([...this.#connectors.values()]);
  }

  stop(): Promise<void> {
    return this.#jvm.stop();
  }

  async #ready(connectors: readonly Connector[]): Promise<void> {
    while (!(await this.#listens())) await this.#pause();
    for (const connector of connectors) {
      while (!(await this.#has(connector))) await this.#pause();
      while ((await this.#state(connector.name)) !== 'RUNNING') await this.#pause();
    }
  }

  /** Checks the settings: another demo's worker on this port has a connector of the same name. */
  async #has({ name, config }: Connector): Promise<boolean> {
    const response = await fetch(`${this.#url}/connectors/${name}/config`).catch(() => null);
    if (!response?.ok) return false;
    const its = (await response.json()) as Record<string, string>;
    return Object.entries(config).every(([key, value]) => its[key] === value);
  }

  async #listens(): Promise<boolean> {
    const response = await fetch(`${this.#url}/connectors`).catch(() => null);
    await response?.arrayBuffer();
    return response?.ok ?? false;
  }

  async #pause(): Promise<void> {
    if (this.#jvm.hasEnded) throw new Error(`Kafka Connect did not start:\n${this.#jvm.lastWords}`);
    await sleep(50);
  }

  /** Returns the state of the connector's task, or its own if it has none; throws if it has failed. */
  async #state(name: string): Promise<string> {
    const response = await fetch(`${this.#url}/connectors/${name}/status`).catch(() => null);
    if (!response?.ok) return 'absent';
    const { connector, tasks } = (await response.json()) as Status;
    const failed = [connector, ...tasks].find(({ state }) => state === 'FAILED');
    if (failed) throw new Error(`connector ${name} failed:\n${failed.trace}`);
    if (connector.state === 'RUNNING') return tasks[0]?.state ?? 'starting';
    return connector.state;
  }

  async #call(method: string, path: string, body?: unknown): Promise<void> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (!response.ok) {
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    }
    await response.arrayBuffer();
  }
}

/** Writes the file that a worker reads at startup; returns its name. */
function writeConnector(folder: string, connector: Connector): string {
  const file = join(folder, `${connector.name}.json`);
  writeFileSync(file, JSON.stringify(connector, null, 2), { mode: 0o600 });
  return file;
}

interface Status {
  readonly connector: { readonly state: string; readonly trace?: string };
  readonly tasks: readonly { readonly state: string; readonly trace?: string }[];
}

function workerSettings(
  { installation, folder, broker, offsetFlushInterval = 1_000 }: ConnectOptions,
  url: string,
): Record<string, string> {
  return {
    'bootstrap.servers': broker,
    'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'offset.storage.file.filename': join(folder, 'offsets'),
    'offset.flush.interval.ms': String(offsetFlushInterval),
    'plugin.path': installation.plugins,
    'plugin.discovery': 'service_load',
    listeners: url,
  };
}
