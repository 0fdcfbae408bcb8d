import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { freePort } from '../../src/local/port.ts';
import { FunctionProcess } from './function-process.ts';
import { toKafka, type Destination } from '../sensors/destination.ts';
import { simulate } from '../sensors/simulation.ts';
import { toProjection } from '../sensors/to-projection.ts';

export interface DemoTravelersOptions {
  readonly url: string;
  /** Kafka's broker; without it the sensors feed the function in this process. */
  readonly broker?: string | undefined;
  readonly sensors: number;
  readonly seed: number;
  /** The folder for logs. */
  readonly folder: string;
  readonly say: (line: string) => void;
}

/** Travelers arrive at each sensor at a fifth of the simulator's default rate. */
const STREET = { arrivals: 2, interval: [0.1, 0.2] as const };
/** Records overtake each other, and some arrive twice, as in reality. */
const POST = { shuffle: 1, duplicates: 0.001, late: 0, lateBy: 1 };
const PARTITIONS = 4;

/** Street sensors, and the function that counts the travelers they report. */
export class DemoTravelers {
  /** Resolves with the error if no more records can be sent. */
  readonly failed: Promise<Error>;
  readonly #destination: Destination;
  readonly #ends: (() => Promise<void>)[];
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #records = 0;

  private constructor(
    destination: Destination,
    ends: (() => Promise<void>)[],
    { sensors, seed }: DemoTravelersOptions,
    ended?: Promise<Error>,
  ) {
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.failed = promise;
    void ended?.then(resolve);
    this.#destination = destination;
    this.#ends = ends;
    this.#running = this.#run(sensors, seed).catch(resolve);
  }

  static async start(options: DemoTravelersOptions): Promise<DemoTravelers> {
    const { url, broker, say } = options;
    const complain = (fields: object, message: string) =>
      say(`travelers: ${message} ${JSON.stringify(fields)}`);
    if (broker === undefined) {
      const destination = await toProjection(url, { info() {}, warn: complain, error: complain });
      return new DemoTravelers(destination, [], options);
    }
    const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING });
    const topic = { topic: 'movements', partitions: PARTITIONS, key: 'none' as const };
    const destination = await toKafka(kafka, topic);
    const folder = join(options.folder, 'travelers');
    const pull = { INTAKE: 'kafka', KAFKA_BROKERS: broker };
    const place = { url, folder, port: await freePort() };
    const fn = await FunctionProcess.start({ ...place, name: 'travelers', say, env: pull });
    return new DemoTravelers(destination, [() => fn.stop()], options, fn.failed);
  }

  /** The number of records sent so far. */
  get records(): number {
    return this.#records;
  }

  /** Stops the sensors; resolves once all records are stored. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#destination.end().catch(() => {});
    for (const end of this.#ends) await end();
  }

  async #run(sensors: number, seed: number): Promise<void> {
    const time = { from: Date.now() * 1000, seconds: Infinity, speed: 1 };
    const options = { ...STREET, ...POST, ...time, sensors, seed };
    for await (const batch of simulate(options, this.#stopping.signal)) {
      await this.#destination.send(batch);
      this.#records += batch.length;
    }
  }
}
