import { expect, test } from 'vitest';
import { problem, render, renderVariant, VARIANTS, type KubernetesObject } from './render.ts';
import { problemsWith } from './schema.ts';

function problemsIn(objects: readonly KubernetesObject[]): string[] {
  expect(objects.length).toBeGreaterThan(1);
  return objects.flatMap((object) =>
    problemsWith(object).map((each) => `${object.kind} ${object.metadata.name} ${each}`),
  );
}

test.skipIf(problem !== null).each(VARIANTS)(
  'every object of %s is valid for its kind',
  (variant) => {
    expect(problemsIn(renderVariant(variant))).toEqual([]);
  },
);

test.skipIf(problem !== null).each(['knative/base', 'knative/upstream', 'keda'])(
  'every object of %s alone is valid',
  (kustomization) => {
    expect(problemsIn(render(kustomization))).toEqual([]);
  },
);

const source = {
  apiVersion: 'sources.knative.dev/v1',
  kind: 'KafkaSource',
  metadata: { name: 'a' },
  spec: { bootstrapServers: ['a:1'], topics: ['a'], sink: { uri: 'http://a' } },
};

test('unknown fields, wrong types and missing fields are found', () => {
  expect(problemsWith(source)).toEqual([]);
  const delivery = { retries: 10, backoffDelay: 1 };
  expect(problemsWith({ ...source, spec: { ...source.spec, delivery } })).toEqual([
    '/spec/delivery: unknown field retries',
    '/spec/delivery/backoffDelay: must be string',
  ]);
  expect(problemsWith({ ...source, spec: { topics: ['a'] } })).toEqual([
    "/spec: must have required property 'bootstrapServers'",
  ]);
  expect(problemsWith({ ...source, apiVersion: 'sources.knative.dev/v2' })).toEqual([
    'sources.knative.dev/v2 KafkaSource: unknown kind',
  ]);
});

test('they are also found deep in a Deployment', () => {
  const container = { name: 'a', resources: { limits: { memory: '1Gi' } }, prestop: {} };
  const template = { spec: { containers: [container] } };
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'a' },
    spec: { selector: { matchLabels: { a: 1 } }, template },
  };
  expect(problemsWith(deployment)).toEqual([
    '/spec/selector/matchLabels/a: must be string',
    '/spec/template/spec/containers/0: unknown field prestop',
  ]);
});
