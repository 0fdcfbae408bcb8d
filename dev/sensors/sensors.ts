/**
 * `npm run sensors`: plays street sensors that report where pedestrians, bicyclists and vehicles are,
 * to Kafka, to a file, or straight to the function.
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
  .description('Plays street sensors: every sample of every traveler in view is a record.')
  .option('--brokers <list>', 'to Kafka: host:port, …; TLS and login as KAFKA_… say')
  .option('--file <path>', 'to a file, a line of JSON for each record; - is standard output')
  .option('--database <url>', 'straight to the function, in this process, without Kafka')
  .option('--replay <path>', 'send the lines of such a file, as fast as they are taken')
  .option('--sensors <count>', 'sensors', whole, 100)
  .option('--arrivals <rate>', 'travelers a second at each sensor', positive, 10)
  .option(
    '--interval <seconds>',
    'between samples of a traveler: 0.1, or 0.1-0.2',
    span,
    [0.1, 0.2],
  )
  .option('--seed <number>', 'decides all that happens', whole, newSeed())
  .option('--from <time>', 'when it begins, 2026-11-21T08:00:00Z; now unless given', time)
  .option('--for <seconds>', 'ends after so much of its time; at Ctrl-C unless given', positive)
  .option('--speed <factor>', 'its time to ours; max: as fast as it is taken', factor, 1)
  .option('--shuffle <seconds>', 'records are sent up to so much later than made', notNegative, 0)
  .option('--duplicates <share>', 'of records that are sent twice', share, 0)
  .option('--late <share>', 'of records that are sent later than the shuffle allows', share, 0)
  .option('--late-by <seconds>', 'up to so much', positive, 60)
  .option('--topic <name>', 'in Kafka', 'movements')
  .option('--partitions <count>', 'of the topic, if it is to be made', whole, 12)
  .addOption(new Option('--key <key>', 'of records in Kafka').choices(KEYS).default('none'))
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
    throw new WrongUse('--speed needs --for: time would run ahead of the clock');
  }
  // What is faster than the clock ends now; what keeps up with it begins now.
  const from = given.from ?? (Date.now() - (speed === 1 ? 0 : seconds * 1000)) * 1000;
  say(`seed ${given.seed}`);
  return simulate({ ...given, from, seconds }, signal);
}

async function open({ brokers, file, database, ...rest }: Flags): Promise<Destination> {
  const given = [brokers, file, database].filter((each) => each !== undefined);
  if (given.length !== 1) throw new WrongUse('give one of --brokers, --file and --database');
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
    throw new InvalidArgumentError('must be seconds, as 0.1 or 0.1-0.2, up to 60');
  }
  return [least!, most!];
}

function time(text: string): number {
  const parsed = Date.parse(text);
  if (Number.isNaN(parsed)) {
    throw new InvalidArgumentError('must be a time, as 2026-11-21T08:00:00Z');
  }
  return parsed * 1000;
}
