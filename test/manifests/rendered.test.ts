/** What `muster manifests` writes, as `kubectl apply -k` applies it. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clusterGroup, viewOf } from '../../src/doctor/cluster/examine.ts';
import type { ClusterObjects } from '../../src/doctor/cluster/objects.ts';
import { specify } from '../../src/definitions/specification.ts';
import type { FunctionDefinition } from '../../src/function.ts';
import { ofMuster, selects, workloadsIn } from './pods.ts';
import { FUNCTIONS, GENERATED, Project } from './project.ts';
import { byName, problem, render, type KubernetesObject } from './render.ts';
import { problemsWith } from './schema.ts';

const names = (all: readonly KubernetesObject[]) => all.map(({ metadata }) => metadata.name);

describe.skipIf(problem !== null).each(Object.entries(GENERATED))('%s', (_name, args) => {
  const project = new Project();
  let objects: KubernetesObject[];
  const option = (name: string, fallback: string) =>
    args.find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1) ?? fallback;
  const namespace = option('--namespace', 'muster');
  const of = (kind: string, group: string) =>
    objects.filter((each) => each.kind === kind && each.apiVersion.split('/')[0] === group);

  beforeAll(async () => {
    expect(await project.manifests(...args)).toMatchObject({ code: 0, stderr: '' });
    objects = render(project.path('manifests'));
  });
  afterAll(() => project[Symbol.dispose]());

  test('every object is valid for its kind, in the namespace', () => {
    expect(objects.length).toBeGreaterThan(5);
    for (const object of objects) {
      const { kind, metadata } = object;
      expect([kind, metadata.name, problemsWith(object)]).toEqual([kind, metadata.name, []]);
      expect([kind, metadata.namespace]).toEqual([
        kind,
        kind === 'Namespace' ? undefined : namespace,
      ]);
    }
    expect(names(of('Namespace', 'v1'))).toEqual(namespace === 'muster' ? ['muster'] : []);
  });

  test('every pod has the image, the settings and the account', () => {
    const workloads = workloadsIn(objects);
    expect(ofMuster(workloads)).toHaveLength(workloads.length);
    const image = option('--image', 'muster');
    const [config, ...more] = of('ConfigMap', 'v1');
    expect(more).toEqual([]);
    expect(config!.metadata.name).toMatch(/^muster-[a-z0-9]{10}$/);
    for (const { container, pod } of workloads) {
      expect(container.image).toBe(image);
      expect(container.envFrom).toEqual([{ configMapRef: { name: config!.metadata.name } }]);
      expect(names(of('ServiceAccount', 'v1'))).toEqual([pod.serviceAccountName]);
    }
    expect(workloads.filter(({ container }) => container.args[0] === 'migrate')).toHaveLength(1);
  });

  test('a finished migration does not block the next one, with kubectl, Argo CD or Flux', () => {
    const [job, ...more] = of('Job', 'batch');
    expect(more).toEqual([]);
    // a name with a hash would leave the previous Job to the tools, as one that is no longer theirs
    expect(job!.metadata).toMatchObject({ name: 'migrate' });
    expect(job!.metadata.annotations).toEqual({
      'argocd.argoproj.io/hook': 'Sync',
      'argocd.argoproj.io/hook-delete-policy': 'BeforeHookCreation',
      'kustomize.toolkit.fluxcd.io/force': 'enabled',
    });
    expect(job!.spec.ttlSecondsAfterFinished).toBe(300); // the five minutes of docs/your-repository.md
    // Argo CD would delete other hooks before each sync, too; and the Job needs them in its own
    const others = objects.filter((each) => each !== job);
    for (const { kind, metadata } of others) {
      const keys = Object.keys(metadata.annotations ?? {});
      expect([kind, metadata.name, keys.filter((key) => /argocd|fluxcd/.test(key))]).toEqual([
        kind,
        metadata.name,
        [],
      ]);
    }
  });

  test('each function is served by one workload with one autoscaler', () => {
    const isKnative = args.includes('--workload=knative-service');
    const known =
      args[0] !== undefined && !args[0].startsWith('--') ? [args[0]] : Object.keys(FUNCTIONS);
    const sets = known.filter((name) => name !== 'positions');
    const deployed = isKnative ? known.filter((name) => name === 'positions') : known;
    expect(names(of('Deployment', 'apps')).toSorted()).toEqual(deployed.toSorted());
    const targets = of('ScaledObject', 'keda.sh').map(({ spec }) => `${spec.scaleTargetRef.name}`);
    expect(targets.toSorted()).toEqual(deployed.toSorted());
    const services = names(of('Service', 'serving.knative.dev'));
    expect(services.toSorted()).toEqual(isKnative ? sets.toSorted() : []);
    expect(names(of('PingSource', 'sources.knative.dev')).toSorted()).toEqual(services.toSorted());
    const posted = args.some((each) => each.startsWith('--intake=')) ? [] : sets;
    expect(names(of('KafkaSource', 'sources.knative.dev')).toSorted()).toEqual(posted.toSorted());
  });

  test('every reference has its object, and every object that is referred to is needed', () => {
    const sinks = [
      ...of('KafkaSource', 'sources.knative.dev'),
      ...of('PingSource', 'sources.knative.dev'),
    ]
      .flatMap(({ spec }) => [spec.sink.ref, spec.delivery?.deadLetterSink.ref])
      .filter((ref) => ref !== undefined)
      .map(({ apiVersion, kind, name }) => [apiVersion, kind, name].join(' '));
    const triggers = of('ScaledObject', 'keda.sh').flatMap(({ spec }) => spec.triggers);
    const logins = triggers
      .filter(({ authenticationRef }) => authenticationRef !== undefined)
      .map((each) => `keda.sh/v1alpha1 TriggerAuthentication ${each.authenticationRef.name}`);
    const there = objects
      .filter(({ kind }) => ['Service', 'KafkaSink', 'TriggerAuthentication'].includes(kind))
      .map(({ apiVersion, kind, metadata }) => [apiVersion, kind, metadata.name].join(' '));
    expect([...new Set([...sinks, ...logins])].toSorted()).toEqual(there.toSorted());
    const pods = workloadsIn(objects);
    for (const { spec } of of('NetworkPolicy', 'networking.k8s.io')) {
      expect(
        pods.filter(({ labels, object }) => selects(spec.podSelector, labelsOf(labels, object))),
      ).not.toEqual([]);
    }
  });

  test('pods admit those who call them, and Prometheus, as soon as a policy selects them', () => {
    const policies = of('NetworkPolicy', 'networking.k8s.io');
    for (const { labels, object, container } of workloadsIn(objects)) {
      if (container.args[0] !== 'serve') continue;
      const mine = policies.filter(({ spec }) =>
        selects(spec.podSelector, labelsOf(labels, object)),
      );
      const admitted: string[] = mine.flatMap(({ spec }) =>
        spec.ingress.flatMap(({ from, ports }: any) =>
          ports.map(({ port }: any) => `${namespacesOf(from[0])} ${port}`),
        ),
      );
      const callers =
        object.kind === 'Service'
          ? [8012, 8022, 9090].map((port) => `knative-serving kourier-system ${port}`)
          : of('KafkaSource', 'sources.knative.dev').some(
                ({ metadata }) => metadata.name === object.metadata.name,
              )
            ? ['knative-eventing 8080']
            : [];
      const isIsolated = mine.length > 0;
      expect(admitted.toSorted()).toEqual(
        [...callers, ...(isIsolated ? ['monitoring 8080'] : [])].toSorted(),
      );
    }
  });

  test('muster doctor finds no problem', async () => {
    const healthy = objects.map((each) => ({ ...each, status: HEALTHY }));
    const all = (kind: string, group: string) =>
      healthy.filter((each) => each.kind === kind && each.apiVersion.split('/')[0] === group);
    const found = {
      deployments: all('Deployment', 'apps'),
      services: all('Service', 'v1'),
      knativeServices: all('Service', 'serving.knative.dev'),
      kafkaSources: all('KafkaSource', 'sources.knative.dev'),
      kafkaSinks: all('KafkaSink', 'eventing.knative.dev'),
      pingSources: all('PingSource', 'sources.knative.dev'),
      brokers: [],
      triggers: all('Trigger', 'eventing.knative.dev'),
      scaledObjects: all('ScaledObject', 'keda.sh'),
      autoscalers: [],
      events: [],
      connectors: [],
    } as unknown as ClusterObjects;
    const functions = workloadsIn(objects).flatMap(({ container, object }) =>
      container.args[0] === 'serve' ? [object.metadata.name] : [],
    );
    const specifications = await Promise.all(
      functions
        .filter((name) => name !== 'positions')
        .map(async (name) => {
          const file = `../../${project.path(`functions/${name}.ts`)}`;
          const { default: definition } = (await import(file)) as { default: FunctionDefinition };
          return specify(definition);
        }),
    );
    const context = { namespace, objects: found, functions, specifications };
    const { results } = await clusterGroup(viewOf('https://here', context), true);
    expect(results.filter(({ state }) => !['fine', 'unchecked'].includes(state))).toEqual([]);
    expect(results.filter(({ check }) => check === 'cluster.workloads')).toHaveLength(
      functions.length,
    );
  });
});

/** Returns the name of the ConfigMap, which all pods have to use. */
function configIn(all: readonly KubernetesObject[]): string {
  const [config] = byName(all, 'ConfigMap').values();
  const pods = workloadsIn(all).map(({ container }) => container.envFrom[0].configMapRef.name);
  expect(new Set(pods)).toEqual(new Set([config!.metadata.name]));
  return config!.metadata.name;
}

test.skipIf(problem !== null).each(['deployment', 'knative-service'])(
  'the kustomization in the guide changes the objects of a %s',
  async (workload) => {
    using project = new Project();
    await project.manifests('--workload', workload);
    const guide = readFileSync('docs/your-repository.md', 'utf8');
    project.write('own/kustomization.yaml', /```yaml\n([^]*?)```/.exec(guide)![1]!);
    const before = render(project.path('manifests'));
    const objects = render(project.path('own'));
    expect(byName(objects, 'KafkaSource').get('orders')!['spec'].consumers).toBe(2);
    expect([...byName(objects, 'ConfigMap').values()].map(({ data }) => data)).toMatchObject([
      { SINK_TOPIC: 'shipped', LOG_LEVEL: 'info' },
    ]);
    // so pods are rolled, or there is a new revision
    expect(configIn(objects)).not.toBe(configIn(before));
  },
);

/** Conditions that controllers write when everything is healthy. */
const HEALTHY = {
  conditions: [
    { type: 'Ready', status: 'True' },
    { type: 'Available', status: 'True' },
  ],
};

/** Labels of the pods; Knative adds the name of the service. */
function labelsOf(
  labels: Readonly<Record<string, string>>,
  { kind, metadata }: KubernetesObject,
): Readonly<Record<string, string>> {
  return kind === 'Service' ? { ...labels, 'serving.knative.dev/service': metadata.name } : labels;
}

function namespacesOf({ namespaceSelector }: any): string {
  const { matchLabels, matchExpressions } = namespaceSelector;
  const admitted = matchLabels ? Object.values(matchLabels) : matchExpressions[0].values;
  return admitted.join(' ');
}
