/**
 * Copies the schemas of the kinds that the manifests use from the cluster in kubectl's context, which
 * needs the CRDs of KEDA, Knative and Strimzi:  node test/manifests/copy-schemas.ts
 *
 * Keeps only what `kubectl apply --validate=strict` checks: types, names, enumerations and required
 * fields. Descriptions would be nine tenths of the file.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const KINDS: Readonly<Record<string, readonly string[]>> = {
  'api/v1': ['ConfigMap', 'Namespace', 'Secret', 'Service', 'ServiceAccount'],
  'apis/apps/v1': ['Deployment', 'StatefulSet'],
  'apis/batch/v1': ['Job'],
  'apis/networking.k8s.io/v1': ['NetworkPolicy'],
  'apis/policy/v1': ['PodDisruptionBudget'],
  'apis/rbac.authorization.k8s.io/v1': ['Role', 'RoleBinding'],
  'apis/eventing.knative.dev/v1alpha1': ['KafkaSink'],
  'apis/keda.sh/v1alpha1': ['ScaledObject', 'TriggerAuthentication'],
  'apis/kafka.strimzi.io/v1': [
    'Kafka',
    'KafkaConnect',
    'KafkaConnector',
    'KafkaNodePool',
    'KafkaTopic',
  ],
  'apis/serving.knative.dev/v1': ['Service'],
  'apis/sources.knative.dev/v1': ['KafkaSource', 'PingSource', 'SinkBinding'],
};

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Schema = { [name: string]: Json };

/** The keywords that validate an object; the others are documentation or hints for the server. */
const KEPT = (
  '$ref type properties items required enum additionalProperties allOf anyOf oneOf not nullable ' +
  'minimum maximum pattern minItems maxItems minLength maxLength minProperties maxProperties ' +
  'x-kubernetes-int-or-string x-kubernetes-preserve-unknown-fields'
).split(' ');

const schemas: Record<string, Schema> = {};
const roots: Record<string, string> = {};
for (const [group, kinds] of Object.entries(KINDS)) {
  const text = execFileSync('kubectl', ['get', '--raw', `/openapi/v3/${group}`], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const all = (JSON.parse(text) as { components: { schemas: Record<string, Schema> } }).components
    .schemas;
  for (const kind of kinds) {
    const name = Object.keys(all).find((each) => each.endsWith(`.${kind}`) && isRoot(all[each]!));
    if (name === undefined) throw new Error(`the cluster has no ${kind} in ${group}`);
    roots[`${group.replace(/^apis?\//, '')} ${kind}`] = name;
    copy(name, all);
  }
}
const lines = Object.entries(schemas)
  .toSorted(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, schema]) => `${JSON.stringify(name)}:${JSON.stringify(schema)}`);
const file = new URL('../fixtures/kubernetes/schemas.json', import.meta.url);
writeFileSync(file, `{"roots":${JSON.stringify(roots)},"schemas":{\n${lines.join(',\n')}\n}}\n`);

function isRoot(schema: Schema): boolean {
  return 'x-kubernetes-group-version-kind' in schema;
}

/** Adds a schema and all schemas that it references. */
function copy(name: string, all: Readonly<Record<string, Schema>>): void {
  if (schemas[name] !== undefined) return;
  const { status: _, ...properties } = (all[name]!['properties'] ?? {}) as Schema;
  const whole = isRoot(all[name]!) ? { ...all[name]!, properties } : all[name]!;
  schemas[name] = reduce(whole);
  for (const [, other] of JSON.stringify(schemas[name]).matchAll(
    /"#\/components\/schemas\/([^"]+)"/g,
  )) {
    copy(other!, all);
  }
}

function reduce(schema: Schema): Schema {
  const kept = Object.entries(schema).filter(([name]) => KEPT.includes(name));
  return Object.fromEntries(
    kept.map(([name, value]): [string, Json] => {
      if (name === 'properties') {
        const all = Object.entries(value as Record<string, Schema>);
        return [name, Object.fromEntries(all.map(([each, of]) => [each, reduce(of)]))];
      }
      if (Array.isArray(value) && name.endsWith('Of')) {
        return [name, value.map((each) => reduce(each as Schema))];
      }
      const nested = name === 'items' || name === 'not' || name === 'additionalProperties';
      return [name, nested && typeof value === 'object' ? reduce(value as Schema) : value];
    }),
  );
}
