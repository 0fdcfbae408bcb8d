/**
 * The Kubernetes objects that a function needs. This repository's own manifests of `recordings` and `travelers` are
 * the templates, comments included, so that there is one truth; a test holds that they are reproduced.
 */
import { existsSync, readFileSync } from 'node:fs';
import { isProjection, isSetFunction } from '../definitions/load-functions.ts';
import { specify } from '../definitions/specification.ts';
import { eventTypesOf, recordTopicsOf, tablesOf } from '../definitions/streams.ts';
import type { Definition, FunctionDefinition, ProjectionDefinition } from '../function.ts';
import { milliseconds } from '../lib/duration.ts';
import {
  kustomization,
  type KustomizationOptions,
  NAME_REFERENCES_OF_KNATIVE,
} from './kustomization.ts';
import { edit } from './edit.ts';
import { forConsumers, forReaders, pulling, reading } from './pulling.ts';
import { admittingBrokers, keptUp, triggersOf } from './triggers.ts';

export interface ManifestOptions extends KustomizationOptions {
  /** `topic.prefix` of the Debezium connector. */
  readonly topicPrefix: string;
  /** Broker that has the events of parts. */
  readonly broker: string;
  /** What runs a set function: a Deployment that KEDA scales, or a Knative Service, which scales by requests. */
  readonly workload: 'deployment' | 'knative-service';
}

/** Texts by path. */
export type Files = ReadonlyMap<string, string>;

/** What the manifests of this repository have, and the options replace. */
export const OWN: ManifestOptions = {
  namespace: 'muster',
  image: 'muster',
  brokers: ['kafka-kafka-bootstrap.kafka.svc:9092'],
  topicPrefix: 'postgres',
  intake: 'http',
  broker: 'default',
  workload: 'deployment',
};
/** Handlers that a pod runs at a time; KEDA divides due work by it. */
const CONCURRENCY = 16;
const MAX_PODS = 8;
/** Maximum of DRAIN_SECONDS; a handler that takes longer is stopped, and its run starts again elsewhere. */
const MAX_DRAIN_SECONDS = 3_600;
/** Time that a pod has beyond DRAIN_SECONDS: preStop, the forced exit, and a reserve. */
const BEYOND_DRAIN_SECONDS = 30;
/** The same for a Knative Service, whose queue proxy waits 30 s for the last request, instead of preStop. */
const BEYOND_DRAIN_SECONDS_IN_KNATIVE = 50;
/** Longest `timeoutSeconds` of a Knative Service that its webhook accepts by default. */
const MAX_KNATIVE_TIMEOUT_SECONDS = 600;
/** Names of objects that functions share, and of their folder. */
const SHARED_NAMES: readonly string[] = ['knative', 'metrics', 'migrate', 'muster', 'shared'];

/** Returns why no manifests can be made of some functions, with what to change; null if they can. */
export function obstacle(
  definitions: readonly Definition[],
  { namespace, intake, workload }: ManifestOptions,
): string | null {
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace)) {
    return `'${namespace}' is no namespace: at most 63 lower-case letters, digits and dashes, no dash at an end`;
  }
  const sets = definitions.filter(isSetFunction).map(specify);
  const ofEvents = sets.find((each) => eventTypesOf([each]).length > 0);
  if (intake !== 'http' && ofEvents !== undefined) {
    return `function ${ofEvents.name}: parts of it are events (${eventTypesOf([ofEvents]).join(', ')}), which a Broker posts: use --intake http`;
  }
  const ofRecords = sets.find((each) => recordTopicsOf([each]).length > 0);
  if (intake === 'wal' && ofRecords !== undefined) {
    return `function ${ofRecords.name}: parts of it are records of topics (${recordTopicsOf([ofRecords]).join(', ')}), which are not in the log of a database: use --intake http or kafka`;
  }
  for (const { name } of definitions) {
    if (SHARED_NAMES.includes(name)) {
      return `function ${name}: objects that all functions share have this name in a cluster: rename the function`;
    }
  }
  if (workload === 'deployment') return null;
  const instead = 'a Knative Service is scaled by requests; use --workload deployment';
  if (intake !== 'http') {
    const what = intake === 'kafka' ? 'the topics' : 'the log of the source';
    return `--intake ${intake} does not go with --workload knative-service: pods that read ${what} get no requests, and ${instead}`;
  }
  if (definitions.length > 0 && definitions.every(isProjection)) {
    const names = definitions.map(({ name }) => name).join(', ');
    return `--workload knative-service: projections (${names}) read their topic without requests, and ${instead}`;
  }
  return null;
}

/** Returns the manifests of some functions, and what they share; `others` are files for the kustomization, too. */
export function manifestsOf(
  definitions: readonly Definition[],
  options: ManifestOptions,
  others: readonly string[] = [],
): Files {
  const files = new Map<string, string>();
  for (const definition of definitions) {
    const own = isProjection(definition)
      ? ofProjection(definition, options)
      : ofSets(definition, options);
    for (const [file, text] of Object.entries(own)) files.set(`${definition.name}/${file}`, text);
  }
  for (const [file, text] of Object.entries(shared(definitions, options))) {
    files.set(
      `shared/${file}`,
      text.replaceAll('kubectl -n muster', `kubectl -n ${options.namespace}`),
    );
  }
  const listed = [...new Set([...files.keys(), ...others])].toSorted();
  files.set('kustomization.yaml', kustomization(listed, options));
  return files;
}

function shared(
  definitions: readonly Definition[],
  { namespace, workload }: ManifestOptions,
): Record<string, string> {
  const hasSets = !definitions.every(isProjection);
  return {
    // somebody else's namespace keeps its labels
    ...(namespace === OWN.namespace && {
      'namespace.yaml': template('knative/base/shared/namespace.yaml'),
    }),
    'service-account.yaml': template('knative/base/shared/service-account.yaml'),
    'migrate.yaml': template('knative/base/shared/migrate.yaml'),
    ...(hasSets &&
      workload === 'deployment' && {
        'database-authentication.yaml': template('keda/database.yaml'),
      }),
    ...(workload === 'knative-service' && {
      'knative.yaml': template('knative/kn/network-policy.yaml'),
      'name-references.yaml': NAME_REFERENCES_OF_KNATIVE,
    }),
    // the policies of functions admit nobody else
    'metrics.yaml': template('knative/base/shared/network/metrics.yaml'),
  };
}

function ofSets(
  definition: FunctionDefinition,
  { brokers, topicPrefix, intake, workload, broker }: ManifestOptions,
): Record<string, string> {
  const { name, concurrency, timeout } = definition;
  const specification = specify(definition);
  const tables = tablesOf([specification]);
  const records = recordTopicsOf([specification]);
  // as Debezium names them
  const ofTables = tables.map((table) => `${topicPrefix}.${table}`.replaceAll(/[^\w.-]/g, '_'));
  const topics = [...ofTables, ...records];
  const types = eventTypesOf([specification]);
  const seconds = Math.ceil((timeout === undefined ? 300_000 : milliseconds(timeout)) / 1000);
  const pods = Math.min(MAX_PODS, Math.ceil((concurrency ?? Infinity) / CONCURRENCY));
  const from = (path: string) => replaced(template(path).replaceAll('recordings', name), brokers);
  const kafkaSource = from('knative/base/recordings/source/kafka-source.yaml');
  const source = edit(
    kafkaSource,
    ['datastore.signal', [...tables, ...records].join(' and ')],
    ['[postgres.datastore.signal]', `[${topics.join(', ')}]`],
  );
  const deadLetters = from('knative/base/recordings/source/dead-letters.yaml');
  if (workload === 'knative-service') {
    return {
      'knative-service.yaml': knativeService(from('knative/kn/recordings.yaml'), seconds, pods),
      'ping-source.yaml': from('knative/kn/ping-source.yaml'),
      ...(topics.length > 0 && { 'kafka-source.yaml': toKnativeService(source) }),
      ...triggersOf(name, types, broker, kafkaSource, 'serving.knative.dev/v1'),
      'dead-letters.yaml': deadLetters,
    };
  }
  const drain = Math.min(seconds, MAX_DRAIN_SECONDS);
  const deployment = edit(
    from('knative/base/recordings/deployment.yaml'),
    ["value: '300'", `value: '${drain}'`],
    [/(terminationGracePeriodSeconds:) \d+/, `$1 ${drain + BEYOND_DRAIN_SECONDS}`],
  );
  const scaled = edit(
    withTopics(from('keda/recordings.yaml'), intake === 'wal' ? [] : topics),
    [/(maxReplicaCount:) \d+/, `$1 ${pods}`],
    ['so 8 pods need 184', `so ${pods} pods need ${23 * pods}`],
  );
  const budget = from('knative/base/recordings/pod-disruption-budget.yaml');
  const policy = from('knative/base/recordings/network-policy.yaml');
  if (intake !== 'http') {
    const where = intake === 'kafka' ? 'Kafka' : 'the log of their source';
    return {
      'deployment.yaml':
        intake === 'kafka' ? pulling(deployment, name, topics) : reading(deployment, name),
      'network-policy.yaml': edit(
        policy,
        [/^# Only .*\n/, `# Nobody may post events: the pods read them from ${where}.\n`],
        [/ {2}ingress:\n[^]*$/, '  ingress: []\n'],
      ),
      'pod-disruption-budget.yaml': budget,
      'scaled-object.yaml': intake === 'kafka' ? forConsumers(scaled) : forReaders(scaled),
    };
  }
  return {
    'deployment.yaml': deployment,
    'service.yaml': from('knative/base/recordings/service.yaml'),
    'network-policy.yaml': types.length > 0 ? admittingBrokers(policy) : policy,
    'pod-disruption-budget.yaml': budget,
    ...(topics.length > 0 && { 'kafka-source.yaml': source }),
    ...triggersOf(name, types, broker, kafkaSource),
    'dead-letters.yaml': deadLetters,
    'scaled-object.yaml': types.length > 0 ? keptUp(scaled, topics.length > 0) : scaled,
  };
}

/** Sets the limits of a Knative Service, and the image that the kustomization replaces. */
function knativeService(text: string, seconds: number, pods: number): string {
  const drain = Math.min(seconds, MAX_KNATIVE_TIMEOUT_SECONDS - BEYOND_DRAIN_SECONDS_IN_KNATIVE);
  return edit(
    text,
    [/(image:) \S+/, '$1 muster'],
    [/(max-scale:) '\d+'/, `$1 '${pods}'`],
    [/(timeoutSeconds:) \d+/, `$1 ${drain + BEYOND_DRAIN_SECONDS_IN_KNATIVE}`],
    ["value: '300'", `value: '${drain}'`],
  );
}

/** Makes a source post to a Knative Service, which KEDA does not scale. */
function toKnativeService(text: string): string {
  return edit(
    text,
    ['Set because KEDA reads the lag of this group; the', 'The'],
    [
      / {2}# Must equal the ScaledObject's[^]*?(?= {2}initialOffset)/,
      '  # The default, `latest`, skips what is in a partition that the source has not read yet.\n',
    ],
    [/(\n {2}sink:\n {4}ref:\n {6}apiVersion:) v1\n/, '$1 serving.knative.dev/v1\n'],
  );
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
  if (topics.length === 0) return text;
  const trigger = / {4}- type: kafka\n[^]*?(?=\n {4}- type:)/.exec(text)![0];
  const all = topics.map((topic, i) =>
    edit(
      trigger,
      ['name: lag', i === 0 ? 'name: lag' : `name: lag-${i + 1}`],
      ['postgres.datastore.signal', topic],
    ),
  );
  return edit(text, [trigger, all.join('\n')]);
}

function replaced(text: string, brokers: readonly string[]): string {
  return text.replaceAll(/(\[?)kafka-kafka-bootstrap\.kafka\.svc:9092(\]?)/g, (_all, open, close) =>
    open === '' ? brokers.join(',') + String(close) : `[${brokers.join(', ')}]`,
  );
}

/** Reads a manifest: of the repository, or as it is copied into the package. */
function template(path: string): string {
  const packaged = new URL(`../${path}`, import.meta.url);
  const file = existsSync(packaged) ? packaged : new URL(`../../${path}`, import.meta.url);
  return readFileSync(file, 'utf8');
}
