/** How pods are started, run and stopped. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { START } from '../../src/build/image.ts';
import { readConfig } from '../../src/config/config.ts';
import { SETTINGS } from '../../src/config/settings.ts';
import { knownFunctions } from '../../src/definitions/function-files.ts';
import { isSetFunction, loadFunctions } from '../../src/definitions/load-functions.ts';
import { timeoutMs } from '../../src/runs/retry-policy.ts';
import { environmentOf, ofMuster, selects, workloadsIn, type Workload } from './pods.ts';
import { byName, problem, renderVariant, VARIANTS, type KubernetesObject } from './render.ts';

describe.skipIf(problem !== null).each(VARIANTS)('in %s', (of) => {
  let objects: KubernetesObject[];
  let all: Workload[];
  let muster: Workload[];
  const env = (workload: Workload) => environmentOf(workload, objects);

  beforeAll(() => {
    objects = renderVariant(of);
    all = workloadsIn(objects);
    muster = ofMuster(all);
  });

  test('every pod complies with the restricted standard, with a read-only root and no token', () => {
    for (const { pod, container } of all) {
      const context = { ...pod.securityContext, ...container.securityContext };
      expect(context).toMatchObject({
        runAsNonRoot: true,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(pod.automountServiceAccountToken).toBe(false);
      expect(pod).not.toHaveProperty('hostNetwork');
    }
    for (const { container, pod } of muster) {
      const { runAsUser } = { ...pod.securityContext, ...container.securityContext };
      expect(`${runAsUser}:${runAsUser}`).toBe(START.User);
    }
    for (const namespace of byName(objects, 'Namespace').values()) {
      expect(namespace.metadata.labels).toMatchObject({
        'pod-security.kubernetes.io/enforce': 'restricted',
      });
    }
  });

  test('every pod requests CPU, memory and disk, and has limits for memory and disk', () => {
    for (const { container } of all) {
      expect(container.resources).toEqual({
        requests: {
          cpu: expect.any(String),
          memory: expect.any(String),
          'ephemeral-storage': expect.any(String),
        },
        limits: { memory: expect.any(String), 'ephemeral-storage': expect.any(String) },
      });
    }
  });

  test('every container runs a command of the image', () => {
    for (const { container } of muster) {
      expect(['serve', 'migrate', 'console']).toContain(container.args[0]);
      expect(container).not.toHaveProperty('command');
    }
  });

  test('the configuration knows every variable of a pod and accepts its values', () => {
    const known = muster.filter((each) => {
      const name = env(each)['FUNCTIONS'];
      return name === undefined || knownFunctions().includes(name);
    });
    expect(known.length).toBeGreaterThan(2);
    for (const workload of known) {
      const given = env(workload);
      const names = Object.keys(given).filter((name) => !name.startsWith('OTEL_'));
      expect(names.filter((name) => !(name in SETTINGS))).toEqual([]);
      expect(() => readConfig({ ...given, DATABASE_URL: 'postgres://a/b' })).not.toThrow();
    }
  });

  test('each function has its own workload, and the console has one', () => {
    const served = muster.filter(({ container }) => container.args[0] === 'serve');
    const names = served.map((each) => [each.object.metadata.name, env(each)['FUNCTIONS']]);
    const expected = of === 'knative/kn' ? ['recordings'] : knownFunctions();
    expect(names).toEqual(expect.arrayContaining(expected.map((name) => [name, name])));
    expect(names.filter(([name, functions]) => name !== functions)).toEqual([]);
    expect(muster.filter(({ container }) => container.args[0] === 'console')).toHaveLength(1);
  });

  test('each workload has its own service name in traces', () => {
    const lasting = muster.filter(({ container }) => container.args[0] !== 'migrate');
    for (const each of lasting) {
      expect(env(each)['OTEL_SERVICE_NAME']).toBe(each.object.metadata.name);
    }
  });

  test('the grace period of a pod is long enough for its longest handler', async () => {
    for (const workload of muster.filter(({ container }) => container.args[0] === 'serve')) {
      const { FUNCTIONS, DRAIN_SECONDS, INTAKE } = env(workload);
      const { pod, container } = workload;
      const drain = Number(DRAIN_SECONDS);
      // 10 s later the process exits anyway (src/process/serve.ts).
      const grace = pod.terminationGracePeriodSeconds ?? pod.timeoutSeconds - KNATIVE_QUIET_SECONDS;
      expect(grace).toBeGreaterThan((container.lifecycle?.preStop.sleep.seconds ?? 0) + drain + 10);
      if (INTAKE === 'kafka') continue;
      for (const definition of (await loadFunctions(FUNCTIONS!.split(','))).filter(isSetFunction)) {
        expect(drain * 1000).toBeGreaterThanOrEqual(timeoutMs(definition));
      }
    }
  });

  test('a Deployment has probes, waits an hour for its database, and rolls out without downtime', () => {
    for (const { object, container } of muster.filter(
      ({ object: { kind } }) => kind === 'Deployment',
    )) {
      expect(container.startupProbe.httpGet.path).toBe('/health/liveness');
      const { periodSeconds, failureThreshold } = container.startupProbe;
      expect(periodSeconds).toBe(1);
      expect(failureThreshold).toBeGreaterThanOrEqual(3600);
      expect(container.readinessProbe.httpGet.path).toBe('/health/readiness');
      expect(container.livenessProbe.httpGet.path).toBe('/health/liveness');
      expect(object['spec'].strategy.rollingUpdate).toEqual({ maxUnavailable: 0, maxSurge: 1 });
    }
  });

  test('a pod behind a Service keeps serving while its endpoints are removed', () => {
    for (const service of byName(objects, 'Service').values()) {
      if (service.apiVersion !== 'v1' || service.metadata.namespace !== 'muster') continue;
      const { selector } = service['spec'];
      const behind = muster.filter(({ labels }) => selects({ matchLabels: selector }, labels));
      expect(behind.map(({ container }) => container.lifecycle.preStop.sleep.seconds)).toEqual([5]);
    }
  });

  test('pods are spread over zones and nodes, and evicted one at a time', () => {
    if (of === 'knative/kn') return;
    const budgets = [...byName(objects, 'PodDisruptionBudget').values()];
    for (const { pod, labels, container } of muster) {
      if (container.args[0] === 'migrate') continue;
      expect(pod.topologySpreadConstraints).toMatchObject([
        { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 1 },
        { topologyKey: 'kubernetes.io/hostname', maxSkew: 1, whenUnsatisfiable: 'ScheduleAnyway' },
      ]);
      for (const { labelSelector, matchLabelKeys } of pod.topologySpreadConstraints) {
        expect(selects(labelSelector, labels)).toBe(true);
        expect(matchLabelKeys).toEqual(['pod-template-hash']);
      }
      if (container.args[0] === 'console') continue;
      const mine = budgets.filter(({ spec }) => selects(spec.selector, labels));
      expect(mine.map(({ spec }) => spec.maxUnavailable)).toEqual([1]);
    }
  });

  test('a changed ConfigMap gets a new name, so that pods are rolled', () => {
    // kn reads a single file, which can't contain a hash
    const name = of === 'knative/kn' ? /^muster$/ : /^muster-[a-z0-9]{10}$/;
    for (const { container } of muster) {
      expect(container.envFrom.map((each: any) => each.configMapRef.name)).toEqual([
        expect.stringMatching(name),
      ]);
    }
  });

  test('a finished migration does not block the next one, with any deployment tool', () => {
    const migrations = [...byName(objects, 'Job').values()];
    expect(migrations.map(({ metadata }) => metadata.annotations)).toEqual([
      {
        'argocd.argoproj.io/hook': 'Sync',
        'argocd.argoproj.io/hook-delete-policy': 'BeforeHookCreation',
        'kustomize.toolkit.fluxcd.io/force': 'enabled',
      },
    ]);
    for (const { spec } of migrations) expect(spec.ttlSecondsAfterFinished).toBeGreaterThan(60);
  });

  test('every namespace with pods denies ingress and egress by default', () => {
    const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy');
    for (const { object } of all) {
      const { namespace } = object.metadata;
      const mine = policies.filter(({ metadata }) => metadata.namespace === namespace);
      expect(mine.map(({ spec }) => spec)).toContainEqual({
        podSelector: {},
        policyTypes: ['Ingress', 'Egress'],
      });
    }
  });

  test('a StatefulSet has a headless Service that selects its pods', () => {
    for (const { object, labels } of all.filter((each) => each.object.kind === 'StatefulSet')) {
      const service = byName(objects, 'Service').get(object['spec'].serviceName)!['spec'];
      expect(service.clusterIP).toBe('None');
      expect(selects({ matchLabels: service.selector }, labels)).toBe(true);
    }
  });

  test('the image pull secrets of service accounts are documented', () => {
    const readme = readFileSync(
      new URL('../../knative/overlays/production/README.md', import.meta.url),
      'utf8',
    );
    const accounts = [...byName(objects, 'ServiceAccount').values()];
    const secrets = accounts.flatMap((each) => each['imagePullSecrets'] ?? []);
    expect(secrets.length).toBe(of.includes('production') ? 1 : 0);
    for (const { name } of secrets) expect(readme).toContain(`| \`${name}\``);
  });

  test('every referenced Secret, ConfigMap and ServiceAccount is created or documented', () => {
    const readme = readFileSync(
      new URL('../../knative/overlays/production/README.md', import.meta.url),
      'utf8',
    );
    const [secretsMade, configMaps, accounts] = ['Secret', 'ConfigMap', 'ServiceAccount'].map(
      (kind) => byName(objects, kind),
    );
    for (const { pod, container } of all) {
      const secrets = [
        ...(container.env ?? []).map((each: any) => each.valueFrom?.secretKeyRef.name),
        ...(pod.volumes ?? []).map((each: any) => each.secret?.secretName),
      ].filter((name) => name !== undefined);
      const missing = secrets.filter((name) => !secretsMade!.has(name));
      expect(missing.filter((name) => !readme.includes(`| \`${name}\``))).toEqual([]);
      expect(of.includes('quickstart') ? missing : []).toEqual([]);
      for (const { configMapRef } of container.envFrom ?? []) {
        expect(configMaps!.has(configMapRef.name)).toBe(true);
      }
      const { serviceAccountName = 'default' } = pod;
      expect(serviceAccountName === 'default' || accounts!.has(serviceAccountName)).toBe(true);
    }
  });

  test("the pods' maximum number of connections fits into the included database", () => {
    const database = all.find((each) => each.of === 'StatefulSet postgres');
    if (database === undefined) return;
    const [, limit] = /max_connections=(\d+)/.exec(database.container.args.join(' '))!;
    const most = [...byName(objects, 'ScaledObject').values()].map(({ spec }) => {
      const target = all.find((each) => each.of === `Deployment ${spec.scaleTargetRef.name}`)!;
      const { WRITERS, CONCURRENCY } = { ...DEFAULTS, ...env(target) };
      return spec.maxReplicaCount * (Number(WRITERS) + Number(CONCURRENCY) + CONTROL_CONNECTIONS);
    });
    const sum = most.reduce((a, b) => a + b, 0);
    expect(sum).toBeGreaterThan(0);
    expect(sum).toBeLessThan(Number(limit) - 20);
  });
});

const DEFAULTS = { WRITERS: SETTINGS.WRITERS.fallback, CONCURRENCY: SETTINGS.CONCURRENCY.fallback };
/** Connections that src/state/database/database.ts opens in addition to those of writers and handlers. */
const CONTROL_CONNECTIONS = 5;
/** How long a Knative pod's queue proxy waits for the last request. */
const KNATIVE_QUIET_SECONDS = 30;

test.skipIf(problem !== null)(
  'the quickstart leaves 1.5 of 4 GiB to the operators and the node',
  () => {
    const objects = renderVariant('knative/overlays/quickstart');
    const asked = [
      ...workloadsIn(objects).map(({ container }) => container.resources),
      ...objects
        .filter(({ kind }) => kind === 'KafkaNodePool' || kind === 'KafkaConnect')
        .map(({ spec }) => spec.resources),
    ].map(({ requests }) => Number(/^(\d+)Mi$/.exec(requests.memory)![1]));
    expect(asked.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(2.5 * 1024);
  },
);

describe.skipIf(problem !== null)('for production', () => {
  let objects: KubernetesObject[];
  beforeAll(() => {
    objects = renderVariant('knative/overlays/production with redelivery');
  });

  test('the image is pinned by its digest', () => {
    const images = workloadsIn(objects).map(({ container }) => container.image);
    expect(new Set(images).size).toBe(1);
    expect(images[0]).toMatch(/@sha256:[0-9a-f]{64}$/);
  });

  test('the manifests contain no Secret', () => {
    expect([...byName(objects, 'Secret').keys()]).toEqual([]);
  });

  test('the Kafka user may write every dead-letter topic', () => {
    const readme = readFileSync(
      new URL('../../knative/overlays/production/README.md', import.meta.url),
      'utf8',
    );
    const [, allowed] = /write ([^.]*?),? and read and describe/.exec(readme)!;
    for (const { spec } of byName(objects, 'KafkaSink').values()) {
      expect(allowed).toContain(`\`${spec.topic}\``);
    }
  });

  test('every connection to Kafka is encrypted and authenticated', () => {
    for (const { spec } of byName(objects, 'KafkaSource').values()) {
      expect(spec.net).toMatchObject({ tls: { enable: true }, sasl: { enable: true } });
    }
    for (const { spec } of byName(objects, 'KafkaSink').values()) {
      expect(spec.auth).toEqual({ secret: { ref: { name: 'muster-kafka' } } });
    }
    const triggers = [...byName(objects, 'ScaledObject').values()].flatMap(
      ({ spec }) => spec.triggers,
    );
    for (const { type, authenticationRef } of triggers) {
      expect(authenticationRef.name).toBe(type === 'kafka' ? 'muster-kafka' : 'muster-database');
      expect(byName(objects, 'TriggerAuthentication').has(authenticationRef.name)).toBe(true);
    }
  });

  test('a source sends a token with the audience and a subject that its function accepts', () => {
    for (const { metadata, spec } of byName(objects, 'KafkaSource').values()) {
      const target = workloadsIn(objects).find(
        ({ of }) => of === `Deployment ${spec.sink.ref.name}`,
      )!;
      const { OIDC_AUDIENCE, OIDC_SUBJECTS } = environmentOf(target, objects);
      expect(spec.sink.audience).toBe(OIDC_AUDIENCE);
      // The name that knative.dev/eventing gives to the service account of a source.
      const account = `oidc-sources.knative.dev-kafkasource-${metadata.name}`;
      expect(OIDC_SUBJECTS!.split(',')).toContain(
        `system:serviceaccount:${metadata.namespace}:${account}`,
      );
    }
  });
});
