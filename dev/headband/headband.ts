/**
 * Simulates a sleep ward with headbands: signals arrive at a steady rate, the two of a span apart in time
 * and in either order; some arrive late or never, some are written twice, some deleted.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import pg from 'pg';
import { ensureDatastore } from '../demo/datastore.ts';
import { endsWrongUse, newSeed, positive } from '../lib/flags.ts';
import { type Action, HeadbandPlan } from './plan.ts';
import { Random } from '../lib/random.ts';
import { insertSignal } from './signal.ts';
import { stopRequested } from '../../src/lib/stop.ts';

export interface HeadbandOptions {
  readonly url: string;
  /** Signals per second. */
  readonly rate: number;
  readonly seed: number;
}

export class Headband {
  /** Resolves with the error if the table can no longer be written. */
  readonly failed: Promise<Error>;
  readonly #client: pg.Client;
  readonly #rate: number;
  readonly #random: Random;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #signals = 0;

  private constructor(client: pg.Client, { rate, seed }: HeadbandOptions) {
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.failed = promise;
    this.#client = client;
    this.#rate = rate;
    this.#random = new Random(seed);
    this.#running = this.#run().catch(resolve);
  }

  static async start(options: HeadbandOptions): Promise<Headband> {
    const client = new pg.Client(options.url);
    client.on('error', () => {}); // the next query reports it
    await client.connect();
    await ensureDatastore(client);
    return new Headband(client, options);
  }

  /** The number of signals stored so far. */
  get signals(): number {
    return this.#signals;
  }

  /** Resolves when the last write is committed. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#client.end();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const plan = new HeadbandPlan(this.#random);
    let due = Date.now();
    while (!signal.aborted) {
      for (const action of plan.next()) await this.#write(action);
      // If the table can't keep up, the headbands slow down; they don't catch up in a burst.
      due = Math.max(due + 1000 / this.#rate, Date.now() - 1000);
      if (due > Date.now()) await sleep(due - Date.now(), undefined, { signal }).catch(() => {});
    }
  }

  async #write(action: Action): Promise<void> {
    if (action.kind === 'insert') {
      await this.#client.query(insertSignal(action.signal, this.#random));
      this.#signals += 1;
    } else if (action.kind === 'update') {
      await this.#client.query(
        'update datastore.signal set sample_resolution_in_unit = 0.5 where id = $1',
        [action.id],
      );
    } else {
      await this.#client.query('delete from datastore.signal where id = $1', [action.id]);
    }
  }
}

async function main(options: HeadbandOptions): Promise<number> {
  // Before the first signal is stored: as PID 1 the process would ignore a SIGTERM without a handler.
  const stopped = stopRequested(false);
  const headband = await Headband.start(options);
  process.stdout.write(
    `${options.rate} signals per second, seed ${options.seed}; press Ctrl-C to stop\n`,
  );
  const ended = await Promise.race([stopped, headband.failed]);
  await headband.stop().catch(() => {});
  process.stdout.write(`${headband.signals} signals stored\n`);
  if (ended instanceof Error) throw ended;
  return 0;
}

if (import.meta.main) {
  const { url, rate, seed } = endsWrongUse(new Command('headband'))
    .description('Adds the signals of headbands to datastore.signal until Ctrl-C.')
    .requiredOption('--url <url>', 'database to write to', process.env['DATABASE_URL'])
    .option('--rate <signals>', 'signals per second', positive, 20)
    .option('--seed <number>', 'seed of the simulation, to repeat a run', positive, newSeed())
    .addHelpText(
      'after',
      '\nExample:\n  node dev/headband/headband.ts --url postgres://localhost/app --rate 100',
    )
    .parse()
    .opts<HeadbandOptions>();
  process.exitCode = await main({ url, rate, seed }).catch((error: Error) => {
    process.stderr.write(`headband: ${error.message}\n`);
    return 1;
  });
}
