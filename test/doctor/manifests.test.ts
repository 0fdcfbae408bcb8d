import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import recordings from '../../functions/recordings.ts';
import { clusterGroup, viewOf } from '../../src/doctor/cluster/examine.ts';
import type { ClusterObjects, KubeObject } from '../../src/doctor/cluster/objects.ts';
import { specify } from '../../src/definitions/specification.ts';
import { defineFunction, type FunctionDefinition } from '../../src/function.ts';
import { manifestsOf, OWN, type ManifestOptions } from '../../src/manifests/manifests.ts';

type Manifest = KubeObject & { readonly kind: string; readonly apiVersion: string };

const root = new URL('../../', import.meta.url);
const FOLDERS = ['knative/base/', 'knative/upstream/connect/', 'keda/'];
const missing = FOLDERS.filter((folder) => !existsSync(new URL(folder, root)));

test.skipIf(missing.length > 0)(
  'the doctor finds no problem in the manifests of this repository',
  async () => {
    const results = await examine(FOLDERS.flatMap(manifestsIn), recordings);
    expect(results.filter(({ state }) => state !== 'fine')).toEqual([]);
    expect(results.length).toBeGreaterThanOrEqual(8);
  },
);

const orders = defineFunction({
  name: 'orders',
  parts: {
    paid: { table: 'shop.payment', key: 'id' },
    packed: { table: 'shop.parcel', key: 'id' },
  },
  handle() {},
}) as unknown as FunctionDefinition;

test.for<Partial<ManifestOptions>>([
  { intake: 'http' },
  { intake: 'kafka' },
  { intake: 'wal' },
  { workload: 'knative-service' },
])('nor in what is generated with %o', async (options) => {
  const files = [...manifestsOf([orders], { ...OWN, ...options }).values()];
  const results = await examine(files.flatMap(objectsIn), orders);
  expect(results.filter(({ state }) => state === 'problem')).toEqual([]);
  expect(results.filter(({ state }) => state === 'fine').length).toBeGreaterThanOrEqual(3);
});

/** Returns what the doctor says of a cluster that has these objects, all of them healthy. */
async function examine(manifests: readonly Manifest[], definition: FunctionDefinition) {
  const all = manifests.map((each) => ({ ...each, status: HEALTHY }));
  const of = (kind: string) => all.filter((each) => each.kind === kind);
  const isKnative = ({ apiVersion }: Manifest) => apiVersion.startsWith('serving.knative.dev/');
  const objects = {
    deployments: of('Deployment'),
    services: of('Service').filter((each) => !isKnative(each)),
    knativeServices: of('Service').filter(isKnative),
    kafkaSources: of('KafkaSource'),
    kafkaSinks: of('KafkaSink'),
    pingSources: of('PingSource'),
    brokers: [],
    triggers: [],
    scaledObjects: of('ScaledObject'),
    autoscalers: [],
    events: [],
    connectors: of('KafkaConnector'),
  } as unknown as ClusterObjects;
  const context = {
    namespace: 'muster',
    objects,
    functions: [definition.name],
    specifications: [specify(definition)],
  };
  const { results } = await clusterGroup(viewOf('https://here', context), true);
  return results;
}

/** Conditions that controllers write when everything is healthy. */
const HEALTHY = {
  conditions: [
    { type: 'Ready', status: 'True' },
    { type: 'Available', status: 'True' },
  ],
};

function manifestsIn(folder: string): Manifest[] {
  const files = readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.yaml') && !file.endsWith('kustomization.yaml'))
    .flatMap((file) => objectsIn(readFileSync(new URL(folder + file, root), 'utf8')));
}

function objectsIn(text: string): Manifest[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((each) => each?.kind !== undefined) as Manifest[];
}
