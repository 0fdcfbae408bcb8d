import type { Command } from 'commander';
import { brokersOption } from './brokers-option.ts';
import { jsonOption } from './json-option.ts';
import type { ParkedOptions } from './parked.ts';
import type { RedeliverOptions } from './redeliver.ts';
import type { SendOptions } from './send.ts';
import type { TailOptions } from './tail.ts';

/** Adds the commands about events that come in. */
export function addIntakeCommands(program: Command): void {
  program
    .command('parked')
    .description('list parked events, newest first, with the reason; or show one whole')
    .argument('[id]', 'number of one event')
    .option('--limit <n>', 'maximum number of events', '50')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  muster parked\n  muster parked 17')
    .action(async (id: string | undefined, options: ParkedOptions) =>
      (await import('./parked.ts')).run(id, options),
    );

  toWorker(program.command('redeliver'))
    .description(
      'post parked events again, or those of a dead-letter topic, once their cause is mended',
    )
    .argument('[id...]', 'numbers of parked events; all of them unless given')
    .option('--reason <reason>', 'only events parked for this reason')
    .option('--dead-letters <topic>', 'events that the source could not deliver, from this topic')
    .option('--skip-unwanted', 'pass dead letters over whose table no function wants')
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
    .description('print the changes in a topic as Muster understands them, until Ctrl-C')
    .argument('<topic>', 'e.g. postgres.datastore.signal')
    .addOption(brokersOption().makeOptionMandatory())
    .option('--raw', 'the messages as they are: partition:offset, key, value')
    .option('--from-beginning', 'from the oldest message on')
    .option('--to-end', 'end once everything that is there now is printed')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
As JSON: {partition, offset, op, table, lsn, snapshot, at, row}; {partition, offset, outcome, why} for what
is no change; with --raw {partition, offset, key, value}.

Example:
  muster tail postgres.datastore.signal --brokers localhost:9092 --from-beginning`,
    )
    .action(async (topic: string, options: TailOptions) =>
      (await import('./tail.ts')).run(topic, options),
    );

  toWorker(program.command('send'))
    .description(
      'post change events from a file, as a KafkaSource would, and show what became of each',
    )
    .argument(
      '<file>',
      'one event, or one a line: a Debezium message, or a structured CloudEvent; - is standard input',
    )
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster send change.json --to http://127.0.0.1:8080')
    .action(async (file: string, options: SendOptions) =>
      (await import('./send.ts')).run(file, options),
    );
}

function toWorker(command: Command): Command {
  return command
    .option('--to <url>', 'where a worker listens', 'http://127.0.0.1:8080')
    .option('--token-file <file>', 'a token to show, where not everybody may post');
}
