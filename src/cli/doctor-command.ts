import { type Command, Option } from 'commander';
import { brokersOption } from './brokers-option.ts';
import type { DoctorOptions } from './doctor.ts';
import { jsonOption } from './json-option.ts';

export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('check what can be checked from here, and suggest a fix for each problem')
    .addOption(new Option('--source <url>', 'the source database').env('SOURCE_URL'))
    .option('--publication <name>', "the connector's publication.name", 'muster')
    .option('--slot <name>', "the connector's slot.name", 'muster')
    .addOption(brokersOption())
    .option(
      '--topic-prefix <name>',
      "the connector's topic.prefix; as the cluster says, or postgres",
    )
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
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Looks at the state database (DATABASE_URL) and at whatever of source, Kafka and cluster is named; what is
not, it says. It changes nothing, and a login of muster_read will do. Exit code 1 if there is a problem, 2 for a wrong call.

As JSON, one object: {status, fine, problems, unchecked, findings: [{group, at, check, title, state, says, mend}]};
check is a stable name, state one of fine, problem, unchecked; mend is null but for problems.

Examples:
  muster doctor
  muster doctor --source postgres://reader@db/app --brokers kafka:9092 --cluster --namespace muster
  muster doctor --json | jq '.findings[] | select(.state == "problem")'`,
    )
    .action(async (options: DoctorOptions) => (await import('./doctor.ts')).run(options));
}
