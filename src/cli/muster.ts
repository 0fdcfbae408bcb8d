#!/usr/bin/env node
import { Command, Option } from 'commander';
import { addDiscardCommands } from './discard-commands.ts';
import { addEventCommands } from './event-commands.ts';
import type { Destination } from './post.ts';
import { runCommand, WRONG_USE } from './run-command.ts';

const program = new Command('muster')
  .description('Runs your function once the whole set has arrived.')
  .showHelpAfterError('(muster --help shows how)')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : WRONG_USE))
  .addHelpText(
    'after',
    '\nThe environment configures it; the README has the table. DATABASE_URL is always needed but for send.',
  );

program
  .command('serve')
  .description('take events and run handlers until SIGTERM')
  .action(async () => (await import('./serve.ts')).run());

program
  .command('console')
  .description('serve the API and the pages for people until SIGTERM; it only reads')
  .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://… PORT=8081 muster console')
  .action(async () => (await import('./console.ts')).run());

program
  .command('migrate')
  .description('bring the state database to this release and make its definitions the newest')
  .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://… muster migrate')
  .action(async () => (await import('./migrate.ts')).run());

program
  .command('explain')
  .description('what is known of one set, and why it did or did not run')
  .argument('<function>', 'name of the function')
  .argument('<key>', 'key of the set; several columns as a JSON array')
  .option('--json', 'as JSON')
  .addHelpText(
    'after',
    `\nExample:\n  muster explain recordings '["0193b000-0000-7000-8000-00000000000b","[0,60000000000)"]'`,
  )
  .action(async (fn: string, key: string, options: { json?: boolean }) =>
    (await import('./explain.ts')).run(fn, key, options),
  );

program
  .command('sets')
  .description('list sets, those that wait longest first')
  .argument('[function]', 'only of this function')
  .addOption(new Option('--waiting', 'not complete yet').conflicts(['overdue', 'failed']))
  .addOption(new Option('--overdue', 'not complete in time').conflicts(['waiting', 'failed']))
  .addOption(new Option('--failed', 'the handler gave up').conflicts(['waiting', 'overdue']))
  .option('--limit <n>', 'at most so many', '50')
  .option('--json', 'one JSON object a line')
  .addHelpText('after', '\nExample:\n  muster sets recordings --failed')
  .action(async (fn: string | undefined, options: SetsOptions) =>
    (await import('./sets.ts')).run(fn, options),
  );

program
  .command('retry')
  .description('run failed sets again: one, or all of a function')
  .argument('<function>', 'name of the function')
  .argument('[key]', 'key of the set')
  .option('--all', 'every such set of the function')
  .option('--now', 'instead of failed sets those in back-off: start the next attempt at once')
  .addHelpText(
    'after',
    '\nExamples:\n  muster retry recordings --all\n  muster retry orders 4711\n  muster retry orders 4711 --now',
  )
  .action(async (fn: string, key: string | undefined, options: { all?: boolean; now?: boolean }) =>
    (await import('./retry.ts')).run(fn, key, options),
  );

program
  .command('resynced')
  .description('note that the source has sent all rows of new or changed parts again')
  .argument('<function>', 'name of the function')
  .argument('[part]', 'only this part')
  .addHelpText('after', '\nExample:\n  muster resynced orders payment')
  .action(async (fn: string, part: string | undefined) =>
    (await import('./resynced.ts')).run(fn, part),
  );

for (const [name, paused, what] of [
  [
    'pause',
    true,
    'start no more runs of a function, while events are still taken and sets completed; of a projection, read no more records',
  ],
  ['resume', false, 'let a paused function go on'],
] as const) {
  program
    .command(name)
    .description(what)
    .argument('<function>', 'name of the function')
    .action(async (fn: string) => (await import('./pause.ts')).run(fn, paused));
}

program
  .command('positions')
  .description('how far projections are in their topics, and what was lost on the way')
  .argument('[function]', 'only of this projection')
  .option('--json', 'one JSON object a line')
  .addHelpText('after', '\nExample:\n  muster positions travelers')
  .action(async (fn: string | undefined, options: PositionsOptions) =>
    (await import('./positions.ts')).run(fn, options),
  );

program
  .command('seek')
  .description(
    'let a projection go on elsewhere in a partition: records in between are skipped, or applied a second time',
  )
  .argument('<function>', 'name of the projection')
  .argument('<partition>', 'number of the partition')
  .argument('<offset>', 'of the next record to read')
  .addHelpText('after', '\nExample:\n  muster seek travelers 3 0')
  .action(async (fn: string, partition: string, offset: string) =>
    (await import('./seek.ts')).run(fn, partition, offset),
  );

program
  .command('parked')
  .description('list events that were kept aside, newest first, with the reason; or show one whole')
  .argument('[id]', 'number of one event')
  .option('--limit <n>', 'at most so many', '50')
  .option('--json', 'one JSON object a line')
  .addHelpText('after', '\nExamples:\n  muster parked\n  muster parked 17')
  .action(async (id: string | undefined, options: ParkedOptions) =>
    (await import('./parked.ts')).run(id, options),
  );

program
  .command('redeliver')
  .description(
    'post parked events again, or those of a dead-letter topic, once their cause is mended',
  )
  .argument('[id...]', 'numbers of parked events; all of them unless given')
  .option('--reason <reason>', 'only events parked for this reason')
  .option('--dead-letters <topic>', 'events that the source could not deliver, from this topic')
  .option('--skip-unwanted', 'pass dead letters over whose table no function wants')
  .addOption(brokersOption())
  .option('--to <url>', 'where a worker of their function listens', 'http://127.0.0.1:8080')
  .option('--token-file <file>', 'a token to show, where not everybody may post')
  .addHelpText(
    'after',
    '\nExamples:\n  muster redeliver --reason position-restarted --to http://127.0.0.1:8080\n  muster redeliver --dead-letters recordings-dead --brokers kafka:9092',
  )
  .action(async (ids: string[], options: RedeliverOptions) =>
    (await import('./redeliver.ts')).run(ids, options),
  );

/** `muster discard <what>`: each kind of thing that waits for a person has a command of its own below it. */
const discard = program.command('discard').description('give up for good what waits for a person');
addDiscardCommands(discard);
addEventCommands(program, discard);

program
  .command('tail')
  .description('print the changes in a topic as Muster understands them, until Ctrl-C')
  .argument('<topic>', 'e.g. postgres.datastore.signal')
  .addOption(brokersOption().makeOptionMandatory())
  .option('--raw', 'the messages as they are: partition:offset, key, value')
  .option('--from-beginning', 'from the oldest message on')
  .option('--to-end', 'end once everything that is there now is printed')
  .addHelpText(
    'after',
    '\nExample:\n  muster tail postgres.datastore.signal --brokers localhost:9092 --from-beginning',
  )
  .action(async (topic: string, options: TailOptions) =>
    (await import('./tail.ts')).run(topic, options),
  );

program
  .command('send')
  .description(
    'post change events from a file, as a KafkaSource would, and show what became of each',
  )
  .argument(
    '<file>',
    'one event, or one a line: a Debezium message, or a structured CloudEvent; - is standard input',
  )
  .option('--to <url>', 'where Muster listens', 'http://127.0.0.1:8080')
  .option('--token-file <file>', 'a token to show, where not everybody may post')
  .addHelpText('after', '\nExample:\n  muster send change.json --to http://127.0.0.1:8080')
  .action(async (file: string, options: Destination) =>
    (await import('./send.ts')).run(file, options),
  );

program
  .command('doctor')
  .description('check what can be checked from here, and say what mends each problem')
  .addOption(new Option('--source <url>', 'the source database').env('SOURCE_URL'))
  .option('--publication <name>', "the connector's publication.name", 'muster')
  .option('--slot <name>', "the connector's slot.name", 'muster')
  .addOption(brokersOption())
  .option('--topic-prefix <name>', "the connector's topic.prefix; as the cluster says, or postgres")
  .addOption(
    new Option(
      '--decimals <mode>',
      "the connector's decimal.handling.mode; as the cluster says, or precise",
    ).choices(['precise', 'string', 'double']),
  )
  .option('--group <name>', 'consumer group; as the cluster says, or muster-<function>')
  .option(
    '--dead-letters <topic,...>',
    'topics of dead letters; as the cluster says, or <function>-dead',
  )
  .option('--cluster', 'look at the cluster of the kubeconfig; by default if there is one')
  .option('--no-cluster', 'do not')
  .option('--namespace <name>', 'where Muster is; as the kubeconfig says, or muster')
  .option('--pods <n>', 'pods there may be at a time; as the cluster says')
  .option('--json', 'as JSON')
  .addHelpText(
    'after',
    `
Looks at the state database (DATABASE_URL) and at whatever of source, Kafka and cluster is named; what is
not, it says. It changes nothing, and a login of muster_read will do. Exit code 1 if there is a problem, 2 for a wrong call.

As JSON: {status, fine, problems, unchecked, findings: [{group, at, check, title, state, says, mend}]};
check is a stable name, state one of fine, problem, unchecked; mend is null but for problems.

Examples:
  muster doctor
  muster doctor --source postgres://reader@db/app --brokers kafka:9092 --cluster --namespace muster
  muster doctor --json | jq '.findings[] | select(.state == "problem")'`,
  )
  .action(async (options: DoctorOptions) => (await import('./doctor.ts')).run(options));

program
  .command('epoch')
  .description('the source database was restored or made anew: its log positions start over')
  .command('bump')
  .argument('<source>', "name of the connector (Debezium's topic.prefix)")
  .option(
    '--since <time>',
    'commit time of its first change; unless given, that of the first change parked for it',
  )
  .addHelpText('after', '\nExample:\n  muster epoch bump postgres')
  .action(async (source: string, options: { since?: string }) =>
    (await import('./epoch.ts')).run(source, options),
  );

const source = program
  .command('source')
  .description('the connectors that rows came from: each has rows of its own, by its name');

source
  .command('list')
  .description('list them, with the newest position seen of each')
  .option('--json', 'one JSON object per line')
  .action(async (options: { json?: boolean }) => (await import('./source.ts')).list(options));

source
  .command('replace')
  .description('a connector was renamed, or one of another name reads the same database now')
  .argument('<old>', 'name of the connector that is gone')
  .argument('<new>', 'name of the one that took its place')
  .addHelpText('after', '\nExample:\n  muster source replace postgres postgres-18')
  .action(async (old: string, successor: string) =>
    (await import('./source.ts')).replace(old, successor),
  );

source
  .command('forget')
  .description('take the rows of a connector that is gone for good out of every set')
  .argument('<source>', 'name of the connector')
  .addHelpText('after', '\nExample:\n  muster source forget tenant-17')
  .action(async (name: string) => (await import('./source.ts')).forget(name));

export interface DoctorOptions {
  readonly source?: string;
  readonly publication: string;
  readonly slot: string;
  readonly brokers?: string;
  readonly topicPrefix?: string;
  readonly decimals?: 'precise' | 'string' | 'double';
  readonly group?: string;
  readonly deadLetters?: string;
  /** undefined = neither `--cluster` nor `--no-cluster` */
  readonly cluster?: boolean;
  readonly namespace?: string;
  readonly pods?: string;
  readonly json?: boolean;
}

export interface PositionsOptions {
  readonly json?: boolean;
}

export interface ParkedOptions {
  readonly limit: string;
  readonly json?: boolean;
}

export interface TailOptions {
  readonly brokers: string;
  readonly raw?: boolean;
  readonly fromBeginning?: boolean;
  readonly toEnd?: boolean;
}

export interface RedeliverOptions extends Destination {
  readonly reason?: string;
  readonly skipUnwanted?: boolean;
  readonly deadLetters?: string;
  readonly brokers?: string;
}

export interface SetsOptions {
  readonly waiting?: boolean;
  readonly overdue?: boolean;
  readonly failed?: boolean;
  readonly limit: string;
  readonly json?: boolean;
}

function brokersOption(): Option {
  return new Option('--brokers <list>', 'Kafka brokers, host:port, separated by commas').env(
    'KAFKA_BROKERS',
  );
}

await runCommand(() => program.parseAsync());
