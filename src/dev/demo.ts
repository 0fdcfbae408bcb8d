/**
 * `npm run demo`: headbands write to a real PostgreSQL, its log becomes the requests of a KafkaSource,
 * and Muster processes each span of a recording once, as soon as both of its signals are there; street
 * sensors see travelers, and Muster counts them.
 */
import { join, relative } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import type { Summary } from './demo-numbers.ts';
import { type DemoParts, startParts } from './demo-parts.ts';
import { Watch } from './demo-watch.ts';
import { newSeed, positive } from './flags.ts';
import { Screen } from './screen.ts';
import { StopRequest } from './stop-request.ts';

interface Flags {
  readonly rate: number;
  readonly sensors: number;
  readonly for?: number;
  readonly fresh: boolean;
  readonly seed: number;
  readonly name?: string;
  readonly kafka: boolean;
  readonly port?: number;
}

/** As a shell reports a process that was ended by Ctrl-C. */
const INTERRUPTED = 130;

const flags = new Command('npm run demo --')
  .description(
    'Shows Muster at work on a PostgreSQL of its own. What it stores stays for the next start.',
  )
  .option('--rate <signals>', 'signals a second that the headbands send', positive, 20)
  .option('--sensors <count>', 'street sensors that see travelers; 0 for none', whole, 10)
  .option('--for <spans>', 'end when so many spans are processed (without a terminal: 50)', whole)
  .option('--fresh', 'throw away what earlier runs stored', false)
  .option('--seed <number>', 'decides what the headbands do', whole, newSeed())
  .option('--kafka', 'through Debezium, Kafka and a KafkaSource (needs Java 17 and Maven)', false)
  .option('--name <name>', 'keep data and logs in .muster/<name>; demo, or demo-kafka', folderName)
  .option('--port <port>', 'where the function listens; any free port unless given', whole)
  .addHelpText(
    'after',
    '\nExamples:\n  npm run demo\n  npm run demo -- --fresh --rate 200\n  npm run demo -- --for 50\n  npm run demo -- --kafka',
  )
  .parse()
  .opts<Flags>();

process.exit(await main(flags));

async function main({
  rate,
  sensors,
  seed,
  fresh,
  kafka,
  port,
  for: enough,
  name = kafka ? 'demo-kafka' : 'demo',
}: Flags): Promise<number> {
  const stop = new StopRequest();
  const live = process.stdout.isTTY && enough === undefined;
  const screen = new Screen(process.stdout, live);
  const say = (line: string) => screen.line(`  ${line}`);
  const folder = join(import.meta.dirname, '../../.muster', name);
  let parts: DemoParts | undefined;
  let summary: Summary | undefined;
  try {
    screen.line('Starting');
    parts = await startParts({ rate, sensors, seed, fresh, kafka, folder, port, say });
    screen.line(introduction(parts, { rate, sensors, seed }));
    const watch = await Watch.start(parts, screen, stop);
    await watch.until(enough ?? (live ? Infinity : 50));
    summary = (await Promise.race([watch.settle(), stop.pressed])) ?? undefined;
    screen.clear();
    screen.line(summary ? conclusion(summary) : 'Ended at once.');
  } catch (error) {
    screen.clear();
    screen.line(`demo: ${error instanceof Error ? error.message : String(error)}`);
    parts?.kill();
    await parts?.end();
    return 1;
  }
  void stop.pressed.then(parts.kill);
  await parts.end();
  if (!summary) return INTERRUPTED;
  return summary.twice === 0 && summary.missing === 0 ? 0 : 1;
}

function introduction(
  { url, folder, pages }: DemoParts,
  { rate, sensors, seed }: Pick<Flags, 'rate' | 'sensors' | 'seed'>,
): string {
  const place = relative(process.cwd(), folder);
  return `
Headbands send ${rate} signals a second, ${sensors} street sensors see travelers (seed ${seed}); Ctrl-C ends it.
Look at ${pages}travelers/ how many there are and how fast, at ${pages} how functions stand.
Data and logs lie in ${place.startsWith('..') ? folder : place}. Look around, or store a signal by hand:
psql '${url}'
`;
}

function conclusion(summary: Summary): string {
  const { complete, processed, twice, missing, brokenSince, examples } = summary;
  const lines = [
    ['complete in the table', complete],
    ['processed', processed, brokenSince > 0 ? `(${brokenSince} lost a signal since)` : ''],
    ['twice', twice],
    ['missing', missing, examples.join(' ')],
  ] as const;
  return lines
    .map(([what, number, note = '']) =>
      `${what.padEnd(22)}${String(number).padStart(7)}  ${note}`.trimEnd(),
    )
    .join('\n');
}

function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('must be a whole number');
  return Number(text);
}

function folderName(text: string): string {
  if (!/^[a-z0-9-]+$/.test(text))
    throw new InvalidArgumentError('must be of lower-case letters, digits and dashes');
  return text;
}
