import { apply, get, kubectl, type KubernetesObject } from './kubectl.ts';

interface KafkaSource extends KubernetesObject {
  readonly spec: {
    readonly bootstrapServers: readonly string[];
    readonly topics: readonly string[];
    readonly consumerGroup: string;
    readonly initialOffset: string;
    readonly ordering: string;
    readonly delivery: {
      readonly retry: number;
      readonly backoffPolicy: string;
      readonly backoffDelay: string;
      readonly timeout: string;
      readonly deadLetterSink: { readonly ref: { readonly name: string } };
    };
    readonly sink: { readonly ref: { readonly name: string } };
  };
}

interface KafkaSink extends KubernetesObject {
  readonly spec: { readonly topic: string };
}

/** The namespace of Knative's own dispatcher; network policies admit its pods by this label. */
const NAMESPACE = 'knative-eventing';
const OURS = { 'muster.trial': 'stand-in' };
const LABELS = { app: 'kafka-source-dispatcher', ...OURS };
const NAME = 'muster-trial-dispatcher';

/** Whether Knative's dispatcher is installed in the cluster. */
export async function isInstalled(): Promise<boolean> {
  const { items } = await get<{ items: KubernetesObject[] }>(
    'statefulsets,deployments',
    `--namespace=${NAMESPACE}`,
  );
  return items.some(({ metadata }) => metadata.name === 'kafka-source-dispatcher');
}

/**
 * Starts a stand-in for Knative's dispatcher: a pod that sends the KafkaSource's requests
 * (dev/kafka-source) with the settings of its spec.
 */
export async function standIn(
  { namespace, name }: { readonly namespace: string; readonly name: string },
  image: string,
): Promise<void> {
  const where = `--namespace=${namespace}`;
  const { spec } = await get<KafkaSource>('kafkasources', name, where);
  const { delivery } = spec;
  const dead = await get<KafkaSink>('kafkasinks', delivery.deadLetterSink.ref.name, where);
  const args = [
    ['--brokers', ...spec.bootstrapServers],
    ['--topic', ...spec.topics],
    ['--sink', `http://${spec.sink.ref.name}.${namespace}.svc.cluster.local/`],
    ['--group', spec.consumerGroup],
    ['--ordering', spec.ordering],
    ['--initial-offset', spec.initialOffset],
    ['--retry', String(delivery.retry)],
    ['--backoff-policy', delivery.backoffPolicy],
    ['--backoff-delay', delivery.backoffDelay],
    ['--timeout', delivery.timeout],
    ['--dead-letter-sink', `kafka:${dead.spec.topic}`],
    ['--namespace', namespace],
    ['--name', name],
  ];
  const container = {
    name: 'dispatcher',
    image,
    command: ['node', '/app/dev/kafka-source.js'],
    args: args.flat(),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
  };
  const there = await kubectl(['get', 'namespace', NAMESPACE, '--ignore-not-found']);
  const metadata = { name: NAMESPACE, labels: OURS };
  if (there === '') await apply([{ apiVersion: 'v1', kind: 'Namespace', metadata }]);
  await apply([
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: NAME, namespace: NAMESPACE, labels: LABELS },
      spec: {
        replicas: 1,
        selector: { matchLabels: LABELS },
        template: {
          metadata: { labels: LABELS },
          spec: { automountServiceAccountToken: false, containers: [container] },
        },
      },
    },
  ]);
  const rollout = ['rollout', 'status', `deployment/${NAME}`, '--timeout=120s'];
  await kubectl([...rollout, `--namespace=${NAMESPACE}`]);
}

/** Lines of its log that report events that neither the sink nor the dead-letter sink accepted. */
export async function losses(): Promise<string[]> {
  const log = await kubectl([
    'logs',
    `deployment/${NAME}`,
    `--namespace=${NAMESPACE}`,
    '--tail=-1',
  ]);
  return log.split('\n').filter((line) => line.includes('neither sink accepted the event'));
}

export async function endStandIn(): Promise<void> {
  const what = ['delete', 'deployment', NAME, '--ignore-not-found'];
  await kubectl([...what, `--namespace=${NAMESPACE}`]);
  await kubectl(['delete', 'namespace', '--selector=muster.trial=stand-in', '--timeout=120s']);
}
