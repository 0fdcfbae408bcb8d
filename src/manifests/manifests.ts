/**
 * The Kubernetes objects that a function needs. This repository's own manifests of `recordings` and `travelers` are
 * the templates, comments included, so that there is one truth; a test holds that they are reproduced.
 */
import { existsSync, readFileSync } from 'node:fs';
import { isProjection } from '../definitions/load-functions.ts';
import { specify } from '../definitions/specification.ts';
import type { Definition, FunctionDefinition, ProjectionDefinition } from '../function.ts';
import { milliseconds } from '../lib/duration.ts';

export interface ManifestOptions {
  readonly namespace: string;
  /** Image with the functions. */
  readonly image: string;
  /** Kafka bootstrap servers, each as `host:port`. */
  readonly brokers: readonly string[];
  /** `topic.prefix` of the Debezium connector. */
  readonly topicPrefix: string;
  /** How events arrive: a KafkaSource posts them, or the pods read the topics themselves. */
  readonly intake: 'http' | 'kafka';
}

/** Texts by path; each file has one object. */
export type Files = ReadonlyMap<string, string>;

/** What the manifests of this repository have, and the options replace. */
export const OWN: ManifestOptions = {
  namespace: 'muster',
  image: 'muster',
  brokers: ['kafka-kafka-bootstrap.kafka.svc:9092'],
  topicPrefix: 'postgres',
  intake: 'http',
};
/** Handlers that a pod runs at a time; KEDA divides due work by it. */
const CONCURRENCY = 16;
const MAX_PODS = 8;
/** Maximum of DRAIN_SECONDS; a handler that takes longer is stopped, and its run starts again elsewhere. */
const MAX_DRAIN_SECONDS = 3_600;
/** Time that a pod has beyond DRAIN_SECONDS: preStop, the forced exit, and a reserve. */
const BEYOND_DRAIN_SECONDS = 30;

/** Returns the manifests of some functions, and what they share. */
export function manifestsOf(definitions: readonly Definition[], options: ManifestOptions): Files {
  const files = new Map<string, string>();
  for (const definition of definitions) {
    const own = isProjection(definition)
      ? ofProjection(definition, options)
      : ofSets(definition, options);
    for (const [file, text] of Object.entries(own)) files.set(`${definition.name}/${file}`, text);
  }
  const shared = {
    // somebody else's namespace keeps its labels
    ...(options.namespace === OWN.namespace && {
      'namespace.yaml': template('knative/base/shared/namespace.yaml'),
    }),
    'service-account.yaml': template('knative/base/shared/service-account.yaml'),
    'migrate.yaml': template('knative/base/shared/migrate.yaml'),
    'database-authentication.yaml': template('keda/database.yaml'),
    // the policies of functions admit nobody else
    'metrics.yaml': template('knative/base/shared/network/metrics.yaml'),
  };
  for (const [file, text] of Object.entries(shared)) {
    files.set(
      `shared/${file}`,
      text.replaceAll('kubectl -n muster', `kubectl -n ${options.namespace}`),
    );
  }
  files.set('kustomization.yaml', kustomization([...files.keys()], options));
  return files;
}

function ofSets(
  definition: FunctionDefinition,
  { brokers, topicPrefix, intake }: ManifestOptions,
): Record<string, string> {
  const { name, concurrency, timeout } = definition;
  const tables = [...new Set(specify(definition).parts.map(({ table }) => table))];
  // as Debezium names them
  const topics = tables.map((table) => `${topicPrefix}.${table}`.replaceAll(/[^\w.-]/g, '_'));
  const seconds = Math.ceil((timeout === undefined ? 300_000 : milliseconds(timeout)) / 1000);
  const drain = Math.min(seconds, MAX_DRAIN_SECONDS);
  const pods = Math.min(MAX_PODS, Math.ceil((concurrency ?? Infinity) / CONCURRENCY));
  const from = (path: string) => replaced(template(path).replaceAll('recordings', name), brokers);
  const deployment = from('knative/base/recordings/deployment.yaml')
    .replace("value: '300'", `value: '${drain}'`)
    .replace(/(terminationGracePeriodSeconds:) \d+/, `$1 ${drain + BEYOND_DRAIN_SECONDS}`);
  const scaled = withTopics(from('keda/recordings.yaml'), topics)
    .replace(/(maxReplicaCount:) \d+/, `$1 ${pods}`)
    .replace('so 8 pods need 184', `so ${pods} pods need ${23 * pods}`);
  const budget = from('knative/base/recordings/pod-disruption-budget.yaml');
  const policy = from('knative/base/recordings/network-policy.yaml');
  if (intake === 'kafka') {
    return {
      'deployment.yaml': pulling(deployment, name, topics),
      'network-policy.yaml': policy
        .replace(/^# Only .*\n/, '# Nobody may post events: the pods read them from Kafka.\n')
        .replace(/ {2}ingress:\n[^]*$/, '  ingress: []\n'),
      'pod-disruption-budget.yaml': budget,
      // The pods are the consumers of the group: more of them than partitions would be idle.
      'scaled-object.yaml': scaled
        .replaceAll(
          "Same as the KafkaSource's initialOffset.",
          'Same as the function, which begins at the oldest offset.',
        )
        .replace(/ +# Pods are not consumers.*\n.*allowIdleConsumers.*\n/g, ''),
    };
  }
  const source = from('knative/base/recordings/source/kafka-source.yaml')
    .replace('datastore.signal', tables.join(' and '))
    .replace('[postgres.datastore.signal]', `[${topics.join(', ')}]`);
  return {
    'deployment.yaml': deployment,
    'service.yaml': from('knative/base/recordings/service.yaml'),
    'network-policy.yaml': policy,
    'pod-disruption-budget.yaml': budget,
    'kafka-source.yaml': source,
    'dead-letters.yaml': from('knative/base/recordings/source/dead-letters.yaml'),
    'scaled-object.yaml': scaled,
  };
}

function ofProjection(
  { name, topic }: ProjectionDefinition,
  { brokers }: ManifestOptions,
): Record<string, string> {
  const from = (path: string) =>
    replaced(
      template(path).replaceAll(/travelers|movements/g, (word) =>
        word === 'travelers' ? name : topic,
      ),
      brokers,
    );
  return {
    'deployment.yaml': from('knative/base/travelers/deployment.yaml'),
    'pod-disruption-budget.yaml': from('knative/base/travelers/pod-disruption-budget.yaml'),
    'scaled-object.yaml': from('keda/travelers.yaml'),
  };
}

/** One trigger for the lag of each topic. */
function withTopics(text: string, topics: readonly string[]): string {
  const trigger = / {4}- type: kafka\n[^]*?(?=\n {4}- type:)/.exec(text)![0];
  const all = topics.map((topic, i) =>
    trigger
      .replace('name: lag', i === 0 ? 'name: lag' : `name: lag-${i + 1}`)
      .replace('postgres.datastore.signal', topic),
  );
  return text.replace(trigger, () => all.join('\n'));
}

/** Makes a deployment read the topics itself. */
function pulling(text: string, name: string, topics: readonly string[]): string {
  const variables = [
    ['INTAKE', 'kafka'],
    ['TOPIC', topics.join(',')],
    ['KAFKA_GROUP', `muster-${name}`],
  ].map(([key, value]) => `            - name: ${key}\n              value: ${value}\n`);
  return text.replace(/( {12}# Concurrent handlers)/, `${variables.join('')}$1`);
}

function replaced(text: string, brokers: readonly string[]): string {
  return text.replaceAll(/(\[?)kafka-kafka-bootstrap\.kafka\.svc:9092(\]?)/g, (_all, open, close) =>
    open === '' ? brokers.join(',') + String(close) : `[${brokers.join(', ')}]`,
  );
}

function kustomization(
  files: readonly string[],
  { namespace, image, brokers }: ManifestOptions,
): string {
  const [, name, tag, digest] = /^(.*?)(?::([\w.-]+))?(?:@(sha256:\w+))?$/.exec(image)!;
  const tagLine = tag === undefined ? '' : `    newTag: '${tag}'\n`;
  const version = digest === undefined ? tagLine : `    digest: ${digest}\n`;
  return `# Apply: kubectl apply -k .
# To be created elsewhere: the Secrets muster-database-migrate, muster-database-serve and muster-database-keda, each with
# a key \`url\`, whose role has only the privileges for that purpose; a topic <function>-dead for dead letters; and a
# sink for the events of handlers (a SinkBinding sets K_SINK, or SINK_TOPIC names a topic), without which they wait.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: ${namespace}
resources:
${files.map((file) => `  - ${file}\n`).join('')}images:
  - name: muster
    newName: ${name}
${version}configMapGenerator:
  # Environment variables of every process. The name ends in a hash of the content, so that a change rolls the pods.
  - name: muster
    literals:
      - KAFKA_BROKERS=${brokers.join(',')}
      - LOG_LEVEL=info
`;
}

/** Reads a manifest: of the repository, or as it is copied into the package. */
function template(path: string): string {
  const packaged = new URL(`../${path}`, import.meta.url);
  const file = existsSync(packaged) ? packaged : new URL(`../../${path}`, import.meta.url);
  return readFileSync(file, 'utf8');
}
