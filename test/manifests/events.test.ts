/** The rules that keep events from being lost on their way to the functions. */
import { beforeAll, describe, expect, test } from 'vitest';
import { SETTINGS } from '../../src/config/settings.ts';
import { environmentOf, ofMuster, selects, workloadsIn, type Workload } from './pods.ts';
import { byName, problem, renderVariant, VARIANTS, type KubernetesObject } from './render.ts';

const HOUR = 3600;

describe.skipIf(problem !== null).each(VARIANTS)('in %s', (of) => {
  let objects: KubernetesObject[];
  let workloads: Workload[];
  let topics: Map<string, KubernetesObject>;
  let sources: KubernetesObject[];
  let scaled: KubernetesObject[];

  beforeAll(() => {
    objects = renderVariant(of);
    workloads = workloadsIn(objects);
    topics = byName(objects, 'KafkaTopic');
    sources = [...byName(objects, 'KafkaSource').values()];
    scaled = [...byName(objects, 'ScaledObject').values()];
  });

  test('every delivery is retried for at least a day, with linearly growing delays', () => {
    const deliveries = objects.flatMap((object) => valuesOf(object, 'delivery'));
    expect(deliveries.length).toBe(sources.length);
    for (const { retry, backoffPolicy, backoffDelay, timeout } of deliveries) {
      expect(backoffPolicy).toBe('linear');
      expect((secondsOf(backoffDelay) * retry * (retry + 1)) / 2).toBeGreaterThan(24 * HOUR);
      // A pod that comes up from zero is found soon: no delay exceeds 10 minutes.
      expect(secondsOf(backoffDelay) * retry).toBeLessThanOrEqual(600);
      expect(secondsOf(timeout)).toBeGreaterThan(20);
    }
  });

  test('undeliverable events go to a topic that keeps them, and do not circulate', () => {
    for (const { spec } of sources) {
      const { ref } = spec.delivery.deadLetterSink;
      const sink = byName(objects, ref.kind).get(ref.name)!;
      expect(spec.topics).not.toContain(sink['spec'].topic);
      expect(sink['spec'].bootstrapServers).toEqual(spec.bootstrapServers);
      if (topics.size === 0) continue;
      expect(topics.get(sink['spec'].topic)?.['spec'].config).toMatchObject({
        'cleanup.policy': 'delete',
        'retention.ms': -1,
      });
    }
  });

  test('a source starts at the oldest event, is unordered, and has its own consumer group', () => {
    for (const { spec } of sources) {
      expect(spec).toMatchObject({ initialOffset: 'earliest', ordering: 'unordered' });
      expect(spec.consumerGroup).toMatch(/^muster-/);
    }
    const groups = sources.map(({ spec }) => spec.consumerGroup);
    expect(new Set(groups).size).toBe(groups.length);
  });

  test('topics of changes are not compacted, and retained no longer than tombstones', () => {
    for (const { metadata, spec } of topics.values()) {
      expect(spec.config['cleanup.policy']).toBe('delete');
      if (/-(dead|refused)$/.test(metadata.name)) continue;
      const days = spec.config['retention.ms'] / (24 * HOUR * 1000);
      expect(days).toBeLessThan(Number(SETTINGS.TOMBSTONE_DAYS.fallback));
    }
  });

  test('a source posts to port 80 of a Service with listening pods, or to a Knative Service', () => {
    expect(sources.length).toBeGreaterThan(0);
    for (const { metadata, spec } of sources) {
      const { ref } = spec.sink;
      expect(ref).toEqual({
        apiVersion: of === 'knative/kn' ? 'serving.knative.dev/v1' : 'v1',
        kind: 'Service',
        name: expect.any(String),
      });
      const sinks = objects.filter(
        (each) =>
          each.apiVersion === ref.apiVersion &&
          each.kind === 'Service' &&
          each.metadata.name === ref.name &&
          each.metadata.namespace === metadata.namespace,
      );
      expect(sinks).toHaveLength(1);
      const { selector, ports } = sinks[0]!['spec'];
      const behind =
        of === 'knative/kn'
          ? workloads.filter(({ object }) => object === sinks[0])
          : workloads.filter(({ labels }) => selects({ matchLabels: selector }, labels));
      expect(behind).toHaveLength(1);
      const [{ container }] = behind as [Workload];
      expect(container.args).toEqual(['serve']);
      expect(environmentOf(behind[0]!, objects)['FUNCTIONS']).toBe(ref.name);
      // Knative's gateway listens on port 80, and sends to the only port of the container
      const isKnative = of === 'knative/kn';
      const http = { name: 'http', port: 80, targetPort: 'http' };
      expect(ports).toEqual(isKnative ? undefined : [http]);
      const port = { ...(!isKnative && { name: 'http' }), containerPort: 8080 };
      expect(container.ports).toEqual([port]);
    }
  });

  test('a Knative Service is reachable in the cluster only, and woken every minute if it serves a function', () => {
    const pings = [...byName(objects, 'PingSource').values()];
    const services = workloads.filter(({ object }) => object.apiVersion.startsWith('serving.'));
    expect(services.length).toBe(of === 'knative/kn' ? 2 : 0);
    for (const { object } of services) {
      expect(object.metadata.labels).toMatchObject({
        'networking.knative.dev/visibility': 'cluster-local',
      });
    }
    const served = services.filter(({ container }) => container.args[0] === 'serve');
    expect(pings.map(({ metadata, spec }) => [metadata.namespace, spec])).toEqual(
      served.map(({ object: { apiVersion, kind, metadata } }) => [
        metadata.namespace,
        { schedule: '* * * * *', sink: { ref: { apiVersion, kind, name: metadata.name } } },
      ]),
    );
  });

  test('the lag of every source wakes the Deployment that it posts to, with matching settings', () => {
    if (of === 'knative/kn') return;
    for (const { spec } of sources) {
      const target = scaled.find(
        ({ spec: each }) => each.scaleTargetRef.name === spec.sink.ref.name,
      )!;
      expect(target['spec'].triggers).toContainEqual(
        expect.objectContaining({
          type: 'kafka',
          metadata: expect.objectContaining({
            consumerGroup: spec.consumerGroup,
            topic: spec.topics[0],
            bootstrapServers: spec.bootstrapServers[0],
            offsetResetPolicy: spec.initialOffset,
            // its pods are not consumers
            allowIdleConsumers: 'true',
          }),
        }),
      );
    }
  });

  test('every function is scaled between zero and a maximum by one ScaledObject', () => {
    const targets = scaled.map(({ spec }) => spec.scaleTargetRef.name as string);
    const functions = ofMuster(workloads).filter(
      ({ object, container }) => object.kind === 'Deployment' && container.args[0] === 'serve',
    );
    expect(targets.toSorted()).toEqual(
      functions.map(({ object }) => object.metadata.name).toSorted(),
    );
    for (const { spec } of scaled) {
      expect(spec).toMatchObject({ minReplicaCount: 0, fallback: { replicas: 1 } });
      expect(spec.pollingInterval).toBeLessThanOrEqual(5);
      expect(spec.maxReplicaCount).toBeGreaterThan(1);
    }
    // Anything else that sets the replica count would conflict with KEDA.
    for (const { object } of functions) expect(object['spec']).not.toHaveProperty('replicas');
  });

  test('one event is enough to wake a function, and the version works with Kafka 4', () => {
    for (const { type, metadata } of scaled.flatMap(({ spec }) => spec.triggers)) {
      expect(metadata).toMatchObject(
        type === 'kafka'
          ? { activationLagThreshold: '0', version: '3.6.0' }
          : { activationTargetQueryValue: '0' },
      );
    }
  });

  test('due work wakes its function, with one pod per CONCURRENCY runs', () => {
    for (const { spec } of scaled) {
      const { name } = spec.scaleTargetRef;
      const workload = workloads.find(({ of: each }) => each === `Deployment ${name}`)!;
      const { INTAKE, CONCURRENCY } = environmentOf(workload, objects);
      const due = spec.triggers.filter((each: any) => each.type === 'postgresql');
      expect(due.map((each: any) => each.metadata)).toEqual(
        INTAKE === 'kafka'
          ? []
          : [
              {
                query: `select coalesce(max(total), 0) from muster.due where function = '${name}'`,
                targetQueryValue: CONCURRENCY,
                activationTargetQueryValue: '0',
              },
            ],
      );
    }
  });

  test('a function that consumes from Kafka has its own group and at most as many pods as partitions', () => {
    for (const workload of ofMuster(workloads)) {
      const { INTAKE, KAFKA_GROUP, KAFKA_BROKERS } = environmentOf(workload, objects);
      if (INTAKE !== 'kafka') continue;
      const { spec } = scaled.find(
        (each) => each['spec'].scaleTargetRef.name === workload.object.metadata.name,
      )!;
      const [{ metadata }] = spec.triggers;
      expect(metadata.consumerGroup).toBe(KAFKA_GROUP);
      expect(metadata.bootstrapServers).toBe(KAFKA_BROKERS);
      expect(metadata.offsetResetPolicy).toBe('earliest');
      expect(metadata).not.toHaveProperty('allowIdleConsumers');
      expect(spec.maxReplicaCount).toBeLessThanOrEqual(
        topics.get(metadata.topic)!['spec'].partitions,
      );
    }
  });

  test('all objects use the Kafka address in the ConfigMap', () => {
    const [environment] = objects.filter(
      ({ kind, metadata }) => kind === 'ConfigMap' && metadata.namespace === 'muster',
    );
    const { KAFKA_BROKERS } = environment!['data'];
    const named = objects
      .filter(({ kind }) => !kind.startsWith('KafkaConnect'))
      .flatMap((object) => valuesOf(object, 'bootstrapServers'))
      .flat();
    expect(named.length).toBeGreaterThan(1);
    expect(new Set(named)).toEqual(new Set([KAFKA_BROKERS]));
  });

  test('network policies admit senders and Prometheus, and allow the required egress', () => {
    const policies = objects.filter(
      ({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.namespace === 'muster',
    );
    expect(policies.map(({ spec }) => spec)).toContainEqual({
      podSelector: {},
      policyTypes: ['Ingress', 'Egress'],
    });
    for (const { labels, container } of ofMuster(workloads)) {
      const mine = policies.filter(({ spec }) => selects(spec.podSelector, labels));
      const rules = mine.flatMap(({ spec }) => [...(spec.ingress ?? []), ...(spec.egress ?? [])]);
      const open = (where: object, port: number) =>
        expect(rules).toContainEqual({
          [where === DISPATCHER || where === PROMETHEUS ? 'from' : 'to']: expect.arrayContaining([
            where,
          ]),
          ports: expect.arrayContaining([expect.objectContaining({ port })]),
        });
      open(DNS, 53);
      expect(
        rules.flatMap(({ to, ports }) => (to ? ports : [])).map((each) => each.port),
      ).toContain(5432);
      if (container.args[0] === 'migrate') continue;
      open(PROMETHEUS, 8080);
      if (
        sources.some(({ spec }) => spec.sink.ref.name === labels['app.kubernetes.io/component'])
      ) {
        if (of !== 'knative/kn') open(DISPATCHER, 8080);
      }
    }
  });
});

const namespace = (name: string) => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
});
/** Labels of Knative's data-plane/config/source, Prometheus' operator and CoreDNS. */
const DISPATCHER = {
  ...namespace('knative-eventing'),
  podSelector: { matchLabels: { app: 'kafka-source-dispatcher' } },
};
const PROMETHEUS = {
  ...namespace('monitoring'),
  podSelector: { matchLabels: { 'app.kubernetes.io/name': 'prometheus' } },
};
const DNS = {
  ...namespace('kube-system'),
  podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
};

/** Returns every value of a property with this name, at any depth. */
function valuesOf(value: unknown, name: string): any[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value as KubernetesObject).flatMap(([each, inner]) =>
    each === name ? [inner] : valuesOf(inner, name),
  );
}

/** Returns the seconds of an ISO 8601 duration in hours, minutes or seconds. */
function secondsOf(duration: string): number {
  const [, number, unit] = /^PT(\d+)([HMS])$/.exec(duration)!;
  return Number(number) * { H: HOUR, M: 60, S: 1 }[unit as 'H' | 'M' | 'S'];
}
