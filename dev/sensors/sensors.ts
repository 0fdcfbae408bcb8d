/**
 * `npm run sensors`: simulates street sensors that report the positions of pedestrians, bicyclists and
 * vehicles to Kafka, to a file, or directly to the function.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { kafkaAt } from '../../src/cli/kafka.ts';
import { WrongUse } from '../../src/cli/wrong-use.ts';
import { errorText } from '../../src/lib/error-text.ts';
import { endsWrongUse, newSeed, positive, WRONG_USE } from '../lib/flags.ts';
import { toFile, toKafka, KEYS, type Destination, type Key } from './destination.ts';
import { replay } from './replay.ts';
import { simulate } from './simulation.ts';
import { toProjection } from './to-projection.ts';

interface Flags {
  readonly sensors: number;
  readonly arrivals: number;
  readonly interval: readonly [number, number];
  readonly seed: number;
  readonly from?: number;
  readonly for?: number;
  readonly speed: number;
  readonly shuffle: number;
  readonly duplicates: number;
  readonly late: number;
  readonly lateBy: number;
  readonly replay?: string;
  readonly brokers?: string;
  readonly topic: string;
  readonly partitions: number;
  readonly key: Key;
  readonly file?: string;
  readonly database?: string;
}

const flags = endsWrongUse(new Command('npm run sensors --'))
  .description('Simulates street sensors: every sample of every traveler in view is a record.')
  .option(
    '--brokers <list>',
    'send to Kafka: host:port, …; TLS and login are set by KAFKA_… variables',
  )
  .option('--file <path>', 'write to a file, one line of JSON per record; - is standard output')
  .option('--database <url>', 'feed the function in this process, without Kafka')
  .option('--replay <path>', 'send the lines of such a file, as fast as they are accepted')
  .option('--sensors <count>', 'number of sensors', whole, 100)
  .option('--arrivals <rate>', 'travelers per second at each sensor', positive, 10)
  .option(
    '--interval <seconds>',
    'time between samples of a traveler: 0.1, or 0.1-0.2',
    span,
    [0.1, 0.2],
  )
  .option('--seed <number>', 'seed of the simulation, to repeat a run', whole, newSeed())
  .option(
    '--from <time>',
    'start of the simulated time, e.g. 2026-11-21T08:00:00Z; now by default',
    time,
  )
  .option('--for <seconds>', 'simulated time to run for; until Ctrl-C by default', positive)
  .option(
    '--speed <factor>',
    'simulated seconds per second; max: as fast as records are accepted',
    factor,
    1,
  )
  .option('--shuffle <seconds>', 'maximum random delay of a record', notNegative, 0)
  .option('--duplicates <share>', 'share of records that are sent twice', share, 0)
  .option('--late <share>', 'share of records that are sent later than --shuffle allows', share, 0)
  .option('--late-by <seconds>', 'maximum additional delay of late records', positive, 60)
  .option('--topic <name>', 'topic in Kafka', 'movements')
  .option('--partitions <count>', 'partitions of the topic if it is created', whole, 12)
  .addOption(new Option('--key <key>', 'key of records in Kafka').choices(KEYS).default('none'))
  .addHelpText(
    'after',
    `
Examples:
  npm run sensors -- --brokers localhost:9092
  npm run sensors -- --file movements.jsonl --for 600 --speed max --seed 7 --shuffle 2 --duplicates 0.01
  npm run sensors -- --replay movements.jsonl --brokers localhost:9092
  npm run sensors -- --database postgres://localhost/muster --sensors 10`,
  )
  .parse()
  .opts<Flags>();

process.exitCode = await main(flags).catch((error: unknown) => {
  say(`sensors: ${errorText(error)}`);
  return error instanceof WrongUse ? WRONG_USE : 1;
});

async function main(given: Flags): Promise<number> {
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => stopping.abort());
  }
  const destination = await open(given);
  const since = performance.now();
  let sent = 0;
  let said = since;
  try {
    for await (const batch of movementsOf(given, stopping.signal)) {
      await destination.send(batch);
      sent += batch.length;
      if (performance.now() - said < 5_000) continue;
      said = performance.now();
      say(`${sent} records, ${Math.round(sent / ((said - since) / 1000))}/s`);
    }
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    await destination.end();
  }
  const seconds = (performance.now() - since) / 1000;
  say(`${sent} records in ${seconds.toFixed(1)} s, ${Math.round(sent / seconds)}/s`);
  return 0;
}

function movementsOf(given: Flags, signal: AbortSignal) {
  if (given.replay !== undefined) return replay(given.replay, signal);
  const { for: seconds = Infinity, speed } = given;
  if (speed !== 1 && seconds === Infinity) {
    throw new WrongUse('--speed needs --for: simulated time would run ahead of the clock');
  }
  // In real time the simulation starts now; at any other speed it ends now.
  const from = given.from ?? (Date.now() - (speed === 1 ? 0 : seconds * 1000)) * 1000;
  say(`seed ${given.seed}`);
  return simulate({ ...given, from, seconds }, signal);
}

async function open({ brokers, file, database, ...rest }: Flags): Promise<Destination> {
  const given = [brokers, file, database].filter((each) => each !== undefined);
  if (given.length !== 1) throw new WrongUse('set exactly one of --brokers, --file and --database');
  if (file !== undefined) return toFile(file);
  if (brokers !== undefined) return toKafka(kafkaAt(brokers), rest);
  return toProjection(database!, { info() {}, warn: complain, error: complain });
}

function complain(fields: object, message: string): void {
  say(`${message} ${JSON.stringify(fields)}`);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function whole(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new InvalidArgumentError('must be a whole number above 0');
  }
  return Number(text);
}

function notNegative(text: string): number {
  return text === '0' ? 0 : positive(text);
}

function share(text: string): number {
  const value = notNegative(text);
  if (value > 1) throw new InvalidArgumentError('must be a number from 0 to 1');
  return value;
}

function factor(text: string): number {
  return text === 'max' ? Infinity : positive(text);
}

function span(text: string): readonly [number, number] {
  const [least, most = least] = text.split('-').map(Number);
  if (!(least! > 0 && most! >= least! && most! <= 60)) {
    throw new InvalidArgumentError('must be seconds such as 0.1 or 0.1-0.2, up to 60');
  }
  return [least!, most!];
}

function time(text: string): number {
  const parsed = Date.parse(text);
  if (Number.isNaN(parsed)) {
    throw new InvalidArgumentError('must be a time such as 2026-11-21T08:00:00Z');
  }
  return parsed * 1000;
}
