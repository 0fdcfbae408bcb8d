import { rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { ensureDatastore } from './datastore.ts';
import { DirectPipeline, type DirectPipelineOptions } from './direct-pipeline.ts';
import { shortenDeadline } from './overdue.ts';
import { DemoTravelers } from './travelers.ts';
import { freePort } from '../../src/local/port.ts';
import { FunctionProcess, logIn, publishedIn } from './function-process.ts';
import { Headband } from '../headband/headband.ts';
import { startPostgres } from '../../src/local/postgres/postgres.ts';
import type { KafkaPipelineOptions } from '../stack/pipeline.ts';
import { timed } from '../lib/timed.ts';

export interface DemoOptions {
  /** Signals per second. */
  readonly rate: number;
  /** Number of street sensors; 0 for none. */
  readonly sensors: number;
  readonly fresh: boolean;
  readonly seed: number;
  /** Whether events are delivered through Debezium, Kafka and a KafkaSource. */
  readonly kafka: boolean;
  /** The preferred folder for data and logs. */
  readonly folder: string;
  /** The function's port; any free port by default. */
  readonly port?: number | undefined;
  readonly say: (line: string) => void;
}

/** The parts of a running demo. */
export interface DemoParts {
  /** The application's database: the headbands' table, Muster's state and the function's results. */
  readonly client: pg.Client;
  readonly url: string;
  /** The folder that contains data and logs. */
  readonly folder: string;
  /** Brings the changes of the headbands' table to the function. */
  readonly pipeline: Pick<DirectPipeline, 'delivered' | 'lag' | 'caughtUp'>;
  readonly headband: Headband;
  /** Undefined without sensors. */
  readonly travelers: DemoTravelers | undefined;
  /** The address of the console. */
  readonly pages: string;
  /** The address that events are posted to. */
  readonly events: string;
  /** Rejects if one of the parts fails permanently. */
  readonly broken: Promise<never>;
  /** Stops all parts, the source first; the function drains unless it has been killed. */
  end(): Promise<void>;
  /** Kills the function, so that `end` doesn't wait for it to drain. */
  readonly kill: () => void;
}

/** In seconds. Deadlines are deferred for six times as long after a start; 10 would make that a minute. */
const DEADLINE_GRACE = '1';

/** Starts the parts one after the other and logs how long each took; if one fails, stops those before it. */
export async function startParts(options: DemoOptions): Promise<DemoParts> {
  const { rate, sensors, seed, fresh, say } = options;
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {}); // reported to those that await it
  const ends: (() => unknown)[] = [];
  const end = async () => {
    for (const step of ends.splice(0).toReversed()) await Promise.resolve(step()).catch(() => {});
  };

  try {
    const installation = options.kafka
      ? await (await import('../stack/install.ts')).install(say)
      : undefined;
    const postgres = await timed(
      say,
      'PostgreSQL',
      startPostgres({ folder: options.folder, fresh, say }),
    );
    const { url, folder } = postgres;
    ends.push(() => postgres.stop());
    void postgres.ended.then(() =>
      broken.reject(new Error(`PostgreSQL exited; its log is in ${folder}`)),
    );
    if (fresh) forget(folder);
    const client = await connect(url);
    ends.push(() => client.end());
    await ensureDatastore(client);

    const port = options.port ?? (await freePort());
    const env = { DEADLINE_GRACE_SECONDS: DEADLINE_GRACE };
    const starting = FunctionProcess.start({ url, name: 'recordings', port, folder, say, env });
    const fn = await timed(say, 'the function', starting);
    ends.push(() => fn.stop());
    void fn.failed.then(broken.reject);
    await shortenDeadline(client);

    const { pipeline, broker } = installation
      ? await startKafka({ installation, url, sink: fn.address, folder, say }, broken.reject)
      : await startDirect({ url, client, fn, say });
    ends.push(() => pipeline.stop());

    const headband = await Headband.start({ url, rate, seed });
    ends.push(() => headband.stop());
    void headband.failed.then(broken.reject);

    const streets = { url, broker, sensors, seed, folder, say };
    const travelers = sensors > 0 ? await DemoTravelers.start(streets) : undefined;
    if (travelers !== undefined) {
      ends.push(() => travelers.stop());
      void travelers.failed.then(broken.reject);
    }
    const pages = await startConsole(url, folder, say);
    ends.push(() => pages.stop());
    void pages.failed.then(broken.reject);
    const kill = () => {
      fn.kill();
      pages.kill();
    };
    const addresses = { url, pages: pages.address, events: fn.address };
    const parts = { client, folder, pipeline, headband, travelers };
    return { ...parts, ...addresses, broken: broken.promise, end, kill };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Removes the files that an earlier demo left besides the database. */
function forget(folder: string): void {
  const paths = [
    logIn(folder),
    publishedIn(folder),
    join(folder, 'kafka'),
    join(folder, 'connect'),
  ];
  for (const path of paths) rmSync(path, { recursive: true, force: true });
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  client.on('error', () => {}); // the next query reports it
  await client.connect();
  return client;
}

async function startConsole(
  url: string,
  folder: string,
  say: DemoOptions['say'],
): Promise<FunctionProcess> {
  const starting = FunctionProcess.start({
    url,
    name: 'recordings,travelers',
    command: 'console',
    port: await freePort(),
    folder: join(folder, 'console'),
    say,
  });
  return timed(say, 'the console', starting);
}

async function startKafka(options: KafkaPipelineOptions, onFailure: (error: Error) => void) {
  const { KafkaPipeline } = await import('../stack/pipeline.ts');
  const pipeline = await KafkaPipeline.start(options);
  void pipeline.failed.then(onFailure);
  return { pipeline, broker: pipeline.broker };
}

async function startDirect(options: DirectPipelineOptions) {
  const pipeline = await timed(options.say, 'replication', DirectPipeline.start(options));
  return { pipeline, broker: undefined };
}
