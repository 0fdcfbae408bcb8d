import type { Command } from 'commander';
import { brokersOption } from './brokers-option.ts';
import { jsonOption } from './json-option.ts';
import type { JsonOption } from './print-result.ts';
import type { ParkedOptions } from './parked.ts';
import type { RedeliverOptions } from './redeliver.ts';
import type { SendOptions } from './send.ts';
import type { TailOptions } from './tail.ts';

/** Adds the commands for incoming events. */
export function addIntakeCommands(program: Command): void {
  program
    .command('parked')
    .description('list parked events with the reason, newest first; or show one in full')
    .argument('[id]', 'number of the event to show')
    .option('--limit <n>', 'maximum number of events', '50')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  muster parked\n  muster parked 17')
    .action(async (id: string | undefined, options: ParkedOptions) =>
      (await import('./parked.ts')).run(id, options),
    );

  addIgnoredCommand(program);

  toWorker(program.command('redeliver'))
    .description(
      'post parked events, or those of a dead-letter topic, again once their cause is fixed',
    )
    .argument('[id...]', 'numbers of parked events (default: all)')
    .option('--reason <reason>', 'only events parked for this reason')
    .option(
      '--dead-letters <topic>',
      'redeliver events that the source could not deliver, from this topic',
    )
    .option('--skip-unwanted', 'skip dead letters of tables that no function uses')
    .addOption(jsonOption())
    .addOption(brokersOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muster redeliver --reason position-restarted --to http://127.0.0.1:8080\n  muster redeliver --dead-letters recordings-dead --brokers kafka:9092',
    )
    .action(async (ids: string[], options: RedeliverOptions) =>
      (await import('./redeliver.ts')).run(ids, options),
    );

  program
    .command('tail')
    .description('print the changes in a topic as Muster reads them, until Ctrl-C')
    .argument('<topic>', 'name of the topic, e.g. postgres.datastore.signal')
    .addOption(brokersOption().makeOptionMandatory())
    .option('--raw', 'print messages as they are: partition:offset, key, value')
    .option('--from-beginning', 'start with the oldest message')
    .option('--to-end', 'stop at the current end of the topic')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
As JSON: {partition, offset, op, table, lsn, snapshot, at, row}; {partition, offset, outcome, why} for records
that are not a change; with --raw {partition, offset, key, value}.

Example:
  muster tail postgres.datastore.signal --brokers localhost:9092 --from-beginning`,
    )
    .action(async (topic: string, options: TailOptions) =>
      (await import('./tail.ts')).run(topic, options),
    );

  toWorker(program.command('send'))
    .description(
      'post change events from a file, as a KafkaSource would, and print the outcome of each',
    )
    .argument(
      '<file>',
      'file with one event, or one per line: Debezium messages or structured CloudEvents; - for standard input',
    )
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster send change.json --to http://127.0.0.1:8080')
    .action(async (file: string, options: SendOptions) =>
      (await import('./send.ts')).run(file, options),
    );
}

function addIgnoredCommand(program: Command): void {
  program
    .command('ignored')
    .description(
      'list the types of events, and the tables, that arrive although no function names them',
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
They are answered as if they were ingested, and change nothing. Workers add their counts every five seconds; what has
not arrived for a week is dropped from the list. Forget the counts with: muster discard ignored

As JSON: {kind, name, count, firstAt, lastAt, source, namedBy, meant: {kind, name, functions, hasArrived}}; kind is event,
table, or other for all names beyond the first 200; source is that of one of the latest; meant is a name that a function
names and that is similar.

Example:
  muster ignored --json | jq 'select(.meant != null)'`,
    )
    .action(async (options: JsonOption) => (await import('./ignored.ts')).run(options));
}

function toWorker(command: Command): Command {
  return command
    .option('--to <url>', 'URL of a worker', 'http://127.0.0.1:8080')
    .option('--token-file <file>', 'file with a bearer token, if the worker requires one');
}
