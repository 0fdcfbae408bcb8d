import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { kubectl, type KubernetesObject } from './kubectl.ts';
import type { User } from './roles.ts';

export const NAMESPACE = 'muster-trial';

/** Values that the manifests don't contain. */
export interface Values {
  /** Reference of the image. */
  readonly image: string;
  /** Address of this machine. */
  readonly host: string;
  /** Bootstrap server. */
  readonly kafka: string;
  /** A URL for each user of the state database. */
  readonly databases: Readonly<Record<User, string>>;
  /** Where the events that handlers return are sent. */
  readonly sink: string;
  /** Which definition functions/recordings.ts exports. */
  readonly definition: 'first' | 'second';
  /** Makes the pods of the function fail to start. */
  readonly isBroken?: boolean;
}

const ROOT = join(import.meta.dirname, '../..');
const FOLDER = join(ROOT, '.muster/cluster');

/** Renders the manifests of knative/ and keda/ through the overlay in this folder, with these values. */
export async function render(values: Values): Promise<KubernetesObject[]> {
  write('values', {
    kind: 'Component',
    apiVersion: 'kustomize.config.k8s.io/v1alpha1',
    ...fill(values),
  });
  const [, newName, newTag] = /^(.*?)(?::([^:/]+))?$/.exec(values.image)!;
  write('.', {
    kind: 'Kustomization',
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    namespace: NAMESPACE,
    resources: ['../../test/cluster/overlay'],
    components: ['values', '../../knative/components/kafka-address'],
    images: [{ name: 'muster', newName, newTag: newTag ?? 'latest' }],
  });
  const text = await kubectl(['kustomize', FOLDER]);
  return parseAllDocuments(text).map((each) => each.toJS() as KubernetesObject);
}

function fill({ databases, host, kafka, sink, definition, isBroken }: Values): object {
  const trial = [{ op: 'add', path: ENV, value: { name: 'TRIAL_DEFINITION', value: definition } }];
  const broken = { op: 'add', path: ENV, value: { name: 'LOG_LEVEL', value: 'broken' } };
  return {
    generatorOptions: { disableNameSuffixHash: true },
    secretGenerator: Object.entries(databases).map(([user, url]) => ({
      name: `muster-database-${user}`,
      literals: [`url=${url}`],
    })),
    patches: [
      patch('ConfigMap', 'muster', [
        { op: 'replace', path: '/data/KAFKA_BROKERS', value: kafka },
        { op: 'add', path: '/data/K_SINK', value: sink },
      ]),
      // The shipped policies select the database, Kafka and the sink by their namespaces.
      patch('NetworkPolicy', 'database', [
        { op: 'add', path: '/spec/egress/-', value: { to: [{ ipBlock: { cidr: `${host}/32` } }] } },
      ]),
      patch('Job', 'migrate', trial),
      patch('Deployment', 'recordings', isBroken ? [...trial, broken] : trial),
    ],
  };
}

const ENV = '/spec/template/spec/containers/0/env/-';

function patch(kind: string, name: string, operations: readonly object[]): object {
  return { target: { kind, name }, patch: JSON.stringify(operations) };
}

/** JSON is YAML. */
function write(folder: string, kustomization: object): void {
  const path = join(FOLDER, folder);
  mkdirSync(path, { recursive: true });
  const text = `${JSON.stringify(kustomization, null, 2)}\n`;
  writeFileSync(join(path, 'kustomization.yaml'), text, { mode: 0o600 });
}
