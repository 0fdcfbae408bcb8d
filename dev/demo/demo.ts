/**
 * `npm run demo`: headbands write to a real PostgreSQL, whose WAL is turned into the requests of a
 * KafkaSource, and Muster processes each span of a recording once, as soon as both of its signals have
 * arrived. Street sensors report travelers, and Muster counts them.
 */
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { errorText } from '../../src/lib/error-text.ts';
import { type DemoParts, startParts } from './parts.ts';
import { Watch } from './watch.ts';
import { conclusion, introduction } from './printed-text.ts';
import { endsWrongUse, newSeed, port as portNumber, positive, whole } from '../lib/flags.ts';
import { requireFreePort } from '../../src/local/port.ts';
import { Screen } from './screen.ts';
import { StopRequest } from './stop-request.ts';

interface Flags {
  readonly rate: number;
  readonly sensors: number;
  readonly for?: number;
  readonly fresh: boolean;
  readonly seed?: number;
  readonly name?: string;
  readonly kafka: boolean;
  readonly port?: number;
}

/** The exit code that a shell reports for a process that was stopped by Ctrl-C. */
const INTERRUPTED = 130;

const flags = endsWrongUse(new Command('npm run demo --'))
  .description(
    'Runs Muster with simulated headbands and street sensors, its own PostgreSQL, the functions and a console. The data is kept for the next start.',
  )
  .option('--rate <signals>', 'signals that the headbands insert per second', positive, 20)
  .option('--sensors <count>', 'number of street sensors; 0 for none', whole(0), 10)
  .option(
    '--for <spans>',
    'stop once this many spans are processed and one set was overdue; by default at Ctrl-C, or after 50 without a terminal',
    whole(1),
  )
  .option('--fresh', 'delete the data of earlier runs', false)
  .option(
    '--seed <number>',
    'seed for the headbands and sensors, to repeat a run; random by default',
    whole(0),
  )
  .option(
    '--kafka',
    'deliver events through Debezium, Kafka and a KafkaSource (needs Java 17 and Maven)',
    false,
  )
  .option(
    '--name <name>',
    'keep data and logs in .muster/<name>; by default demo, with --kafka demo-kafka',
    folderName,
  )
  .option('--port <port>', 'port that receives events; any free port by default', portNumber)
  .addHelpText(
    'after',
    '\nThe exit code is 0 if every complete set was processed once, 1 if not or if something failed, 2 for an invalid flag.\n\nExamples:\n  npm run demo\n  npm run demo -- --fresh --rate 200\n  npm run demo -- --for 50\n  npm run demo -- --kafka',
  )
  .parse()
  .opts<Flags>();

process.exit(await main(flags));

async function main({
  rate,
  sensors,
  seed = newSeed(),
  fresh,
  kafka,
  port,
  for: enough,
  name = kafka ? 'demo-kafka' : 'demo',
}: Flags): Promise<number> {
  const stop = new StopRequest();
  const live = process.stdout.isTTY && process.env['TERM'] !== 'dumb' && enough === undefined;
  const screen = new Screen(process.stdout, live);
  const say = (line: string) => screen.line(`  ${line}`);
  const folder = join(import.meta.dirname, '../../.muster', name);
  let parts: DemoParts | undefined;
  let end: Awaited<ReturnType<Watch['untilIdle']>> | undefined;
  try {
    if (port !== undefined) await requireFreePort(port);
    screen.line('Starting');
    parts = await startParts({ rate, sensors, seed, fresh, kafka, folder, port, say });
    screen.line(introduction(parts, { rate, sensors, seed }));
    const watch = await Watch.start(parts, screen, stop);
    await watch.until(enough ?? (live ? Infinity : 50));
    end = (await Promise.race([watch.untilIdle(), stop.forced])) ?? undefined;
    screen.clear();
    screen.line(end ? conclusion(end.summary, end.counts, parts.folder) : 'Stopped immediately.');
  } catch (error) {
    screen.clear();
    process.stderr.write(`demo: ${errorText(error)}\n`);
    parts?.kill();
    await parts?.end();
    return 1;
  }
  void stop.forced.then(parts.kill);
  await parts.end();
  if (!end) return INTERRUPTED;
  const { summary } = end;
  return summary.twice === 0 && summary.missing === 0 ? 0 : 1;
}

function folderName(text: string): string {
  if (!/^[a-z0-9-]+$/.test(text)) {
    throw new InvalidArgumentError('It must contain only lower-case letters, digits and dashes.');
  }
  return text;
}
