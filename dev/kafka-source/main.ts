/** A Knative KafkaSource as a separate process, for trying a function without a cluster. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { pino } from 'pino';
import { endsWrongUse } from '../lib/flags.ts';
import { DEFAULT_DELIVERY, type Delivery } from './delivery.ts';
import { type Happening, KafkaSource, type KafkaSourceOptions } from './kafka-source.ts';

type Flags = Omit<KafkaSourceOptions, 'delivery' | 'extensions' | 'topics' | 'consumerGroup'> &
  Delivery & {
    readonly topic: string[];
    readonly group: string;
    readonly extension: Record<string, string>;
  };

const { topic, group, extension, retry, backoffPolicy, backoffDelay, timeout, ...rest } =
  endsWrongUse(new Command('kafka-source'))
    .description(
      'Posts the records of topics to a function, as a Knative KafkaSource does, until SIGTERM.',
    )
    .option('--brokers <host:port...>', 'bootstrap servers', ['localhost:9092'])
    .requiredOption('--topic <name...>', 'topics to read')
    .requiredOption('--sink <url>', 'where the function listens')
    .option('--group <name>', 'consumer group', 'knative-kafka-source')
    .addOption(choice('--ordering <kind>', 'order within a partition', ['ordered', 'unordered']))
    .addOption(choice('--initial-offset <which>', 'for a new group', ['latest', 'earliest']))
    .option('--retry <tries>', 'maximum number of retries', whole, DEFAULT_DELIVERY.retry)
    .addOption(
      choice('--backoff-policy <kind>', 'delay between attempts', ['exponential', 'linear']),
    )
    .addOption(
      time(
        '--backoff-delay',
        'linear: n times this before attempt n + 1, exponential: 2^n times',
        'PT0.3S',
      ),
    )
    .addOption(time('--timeout', 'timeout of a request', 'PT600S'))
    .option('--dead-letter-sink <url>', 'a URL, or kafka:<topic>; without it events are dropped')
    .addOption(time('--commit-interval', 'interval between commits of finished records', 'PT5S'))
    .addOption(time('--session-timeout', 'how long the group waits for a killed source', 'PT10S'))
    .option('--namespace <name>', "the source's", 'default')
    .option('--name <name>', "the source's", 'kafka-source')
    .addOption(
      choice('--key-type <type>', 'type of the record keys', [
        'string',
        'int',
        'float',
        'byte-array',
      ]),
    )
    .option('--extension <name=value...>', 'ceOverrides.extensions', pair, {})
    .addHelpText(
      'after',
      `
Durations are ISO 8601, as in the manifest: PT0.3S. With EXIT_WITH_STDIN=1 it exits when standard input is closed.

Example:
  node dev/kafka-source/main.ts --brokers localhost:9092 --topic postgres.datastore.signal \\
    --sink http://localhost:8080/ --ordering unordered --initial-offset earliest`,
    )
    .parse()
    .opts<Flags>();

const log = pino(pino.destination({ dest: 2, sync: true }));
const stopped = new Promise<string>((resolve) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  if (process.env['EXIT_WITH_STDIN'] === '1') {
    process.stdin.resume().once('end', () => resolve('standard input closed'));
  }
});

let source: KafkaSource | undefined;
// Exits immediately if Kafka has not answered yet.
void stopped.then(() => source ?? process.exit(0));
source = await KafkaSource.start({
  ...rest,
  topics: topic,
  consumerGroup: group,
  extensions: extension,
  delivery: { retry, backoffPolicy, backoffDelay, timeout },
  on: report,
});
log.info({ sink: rest.sink }, 'consuming');
const reason = await stopped;
await source.stop();
log.info({ reason, ...source.counts, retries: source.retries }, 'stopped');
process.exit(0);

function report(happening: Happening): void {
  switch (happening.kind) {
    case 'assigned':
      return log.info({ partitions: happening.partitions }, 'partitions assigned');
    case 'revoked':
      return log.info({}, 'partitions revoked');
    case 'delivered':
      return;
    case 'dead-letter':
    case 'lost': {
      const { partition, offset } = happening.record;
      const { answer, error } = happening.failure;
      const from = happening.record.topic;
      const fields = { topic: from, partition, offset, error, body: answer?.body.toString() };
      if (happening.kind === 'lost') {
        return log.error(fields, 'neither sink accepted the event; it is lost');
      }
      return log.warn(fields, 'the event was sent to the dead-letter sink');
    }
  }
}

function choice(flag: string, what: string, values: string[]): Option {
  return new Option(flag, what).choices(values).default(values[0]);
}

function time(name: string, what: string, usual: string): Option {
  return new Option(`${name} <duration>`, what).argParser(duration).default(duration(usual), usual);
}

function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('must be a whole number');
  return Number(text);
}

/** Parses an ISO 8601 duration in hours, minutes and seconds; returns milliseconds. */
function duration(text: string): number {
  const [all, hours = 0, minutes = 0, seconds = 0] =
    /^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?$/.exec(text) ?? [];
  if (!all || all === 'PT') throw new InvalidArgumentError('must be a duration such as PT0.3S');
  return (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000;
}

function pair(text: string, before: Record<string, string>): Record<string, string> {
  const [, name, value] = /^([a-z0-9]+)=(.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new InvalidArgumentError(
      'must be name=value; the name may contain only lower-case letters and digits',
    );
  }
  return { ...before, [name]: value };
}
