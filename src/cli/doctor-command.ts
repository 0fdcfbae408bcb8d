import { type Command, Option } from 'commander';
import { brokersOption } from './brokers-option.ts';
import type { DoctorOptions } from './doctor.ts';
import { jsonOption } from './json-option.ts';

export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('check what can be checked from here, and suggest a fix for each problem')
    .addOption(new Option('--source <url>', 'URL of the source database').env('SOURCE_URL'))
    .option('--publication <name>', "the connector's publication.name", 'muster')
    .option('--slot <name>', "the connector's slot.name", 'muster')
    .addOption(brokersOption())
    .option(
      '--topic-prefix <name>',
      "the connector's topic.prefix (default: from the cluster, or postgres)",
    )
    .addOption(
      new Option(
        '--decimals <mode>',
        "the connector's decimal.handling.mode (default: from the cluster, or precise)",
      ).choices(['precise', 'string', 'double']),
    )
    .option('--group <name>', 'consumer group (default: from the cluster, or muster-<function>)')
    .option(
      '--dead-letters <topic,...>',
      'topics of dead letters (default: from the cluster, or <function>-dead)',
    )
    .option('--cluster', 'check the cluster of the kubeconfig (default: if there is one)')
    .option('--no-cluster', 'do not check a cluster')
    .option('--namespace <name>', 'namespace of Muster (default: from the kubeconfig, or muster)')
    .option('--pods <n>', 'maximum number of pods (default: from the cluster)')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Checks the state database (DATABASE_URL), and the source, Kafka, the schema registry and the cluster if they are given; reports what
it does not check. Changes nothing; a login with the role muster_read suffices. Exit code 1 if there is a problem, 2 for misuse.

As JSON, one object: {status, fine, problems, unchecked, findings: [{group, at, check, title, state, message, remedy}]};
check is a stable name; state is fine, problem or unchecked; remedy is the fix for a problem, or null.

Examples:
  muster doctor
  muster doctor --source postgres://reader@db/app --brokers kafka:9092 --cluster --namespace muster
  muster doctor --json | jq '.findings[] | select(.state == "problem")'`,
    )
    .action(async (options: DoctorOptions) => (await import('./doctor.ts')).run(options));
}
