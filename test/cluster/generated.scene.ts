/** What `muster manifests` generates, as an API server with the definitions of Knative and KEDA validates it. */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GENERATED, Project } from '../manifests/project.ts';
import { render, type KubernetesObject } from '../manifests/render.ts';
import { apply, kubectl } from './kubectl.ts';
import { missingInCluster } from './settings.ts';

const DEFINITIONS = [
  ['scaledobjects.keda.sh', 'KEDA'],
  ['triggerauthentications.keda.sh', 'KEDA'],
  ['kafkasources.sources.knative.dev', "Knative's KafkaSource"],
  ['kafkasinks.eventing.knative.dev', "Knative's KafkaSink"],
  ['pingsources.sources.knative.dev', 'Knative Eventing'],
  ['services.serving.knative.dev', 'Knative Serving'],
] as const;

/** A dry run needs the namespace, which stays for a while after a run has deleted it. */
const NAMESPACE = `muster-trial-${Date.now().toString(36)}`;
let isCreated = false;

beforeAll(async () => {
  const missing = missingInCluster(DEFINITIONS);
  if (missing.length > 0) throw new Error(missing.join('\n'));
  const labels = {
    'pod-security.kubernetes.io/enforce': 'restricted',
    'pod-security.kubernetes.io/warn': 'restricted',
  };
  const metadata = { name: NAMESPACE, labels };
  await apply([{ apiVersion: 'v1', kind: 'Namespace', metadata }]);
  isCreated = true;
});
afterAll(async () => {
  if (isCreated) await kubectl(['delete', 'namespace', NAMESPACE, '--wait=false']);
});

/** Applies objects in the namespace of this file, in a dry run; returns what kubectl prints. */
function dryRun(objects: readonly KubernetesObject[]): { applied: string[]; errors: string } {
  const items = objects.map((object) =>
    object.kind === 'Namespace'
      ? object
      : { ...object, metadata: { ...object.metadata, namespace: NAMESPACE } },
  );
  const { stdout, stderr } = spawnSync(
    'kubectl',
    ['apply', '--dry-run=server', '--validate=strict', '--filename=-'],
    // one document per object: kubectl would validate a List by itself, instead of letting the server do it
    { input: items.map((each) => JSON.stringify(each)).join('\n'), encoding: 'utf8' },
  );
  return { applied: stdout.trim().split('\n'), errors: stderr };
}

/** What kubectl prints if every object is accepted; it would print warnings as errors. */
const accepted = (objects: readonly KubernetesObject[]) => ({
  applied: objects.map(() => expect.stringMatching(/ \(server dry run\)$/)),
  errors: '',
});

test.each(Object.entries(GENERATED))('%s: every object is accepted', async (_name, args) => {
  using project = new Project();
  expect(await project.manifests(...args)).toMatchObject({ code: 0 });
  const objects = render(project.path('manifests'));
  expect(objects.length).toBeGreaterThan(5);
  expect(dryRun(objects)).toEqual(accepted(objects));
});

test.each(['knative/base', 'keda', 'knative/kn'])('%s: every object is accepted', (folder) => {
  const objects = render(folder);
  expect(dryRun(objects)).toEqual(accepted(objects));
});

test('an unknown field, a wrong type and a pod with rights are refused', () => {
  const objects = render('knative/kn');
  const ping = objects.find(({ kind }) => kind === 'PingSource')!;
  const { sink } = ping['spec'];
  expect(dryRun([{ ...ping, spec: { sink, schedul: '* * * * *' } }]).errors).toContain(
    'unknown field "spec.schedul"',
  );
  expect(dryRun([{ ...ping, spec: { sink, schedule: 5 } }]).errors).toContain('spec.schedule');
  const [deployment] = render('knative/base').filter(({ kind }) => kind === 'Deployment');
  const { securityContext: _, ...pod } = deployment!['spec'].template.spec;
  const template = { ...deployment!['spec'].template, spec: pod };
  const spec = { ...deployment!['spec'], template };
  expect(dryRun([{ ...deployment!, spec }]).errors).toContain('would violate PodSecurity');
});
