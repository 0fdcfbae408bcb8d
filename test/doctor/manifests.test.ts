import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import recordings from '../../functions/recordings.ts';
import { clusterGroup, viewOf } from '../../src/doctor/cluster/examine.ts';
import type { ClusterObjects, KubeObject } from '../../src/doctor/cluster/objects.ts';
import { specify } from '../../src/definitions/specification.ts';

type Manifest = KubeObject & { readonly kind: string; readonly apiVersion: string };

const root = new URL('../../', import.meta.url);
const FOLDERS = ['knative/base/', 'knative/upstream/connect/', 'keda/'];
const missing = FOLDERS.filter((folder) => !existsSync(new URL(folder, root)));

test.skipIf(missing.length > 0)(
  'the doctor finds no problem in the manifests of this repository',
  async () => {
    const all = FOLDERS.flatMap(manifestsIn).map((each) => ({ ...each, status: HEALTHY }));
    const of = (kind: string) => all.filter((each) => each.kind === kind);
    const objects = {
      deployments: of('Deployment'),
      services: of('Service'),
      knativeServices: [],
      kafkaSources: of('KafkaSource'),
      kafkaSinks: of('KafkaSink'),
      pingSources: [],
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
      functions: ['recordings'],
      specifications: [specify(recordings)],
    };
    const { results } = await clusterGroup(viewOf('https://here', context), true);
    expect(results.filter(({ state }) => state !== 'fine')).toEqual([]);
    expect(results.length).toBeGreaterThanOrEqual(8);
  },
);

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
    .flatMap((file) => parseAllDocuments(readFileSync(new URL(folder + file, root), 'utf8')))
    .map((document) => document.toJS() as Manifest | null)
    .filter((each) => each !== null);
}
