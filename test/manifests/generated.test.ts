import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { defineFunction, type Definition } from '../../src/function.ts';
import { loadFunctions } from '../../src/definitions/load-functions.ts';
import { manifestsOf, OWN } from '../../src/manifests/manifests.ts';
import type { KubernetesObject } from './render.ts';
import { problemsWith } from './schema.ts';

const read = (path: string) => readFileSync(path, 'utf8');
const OPTIONS = {
  namespace: 'shop',
  image: 'registry.example.com:5000/orders:1.2',
  brokers: ['a:9092', 'b:9092'],
  topicPrefix: 'erp',
  intake: 'http',
} as const;

const orders = defineFunction({
  name: 'orders',
  parts: {
    paid: { table: 'shop.payment', key: 'id' },
    packed: { table: 'shop.parcel', key: 'id' },
    checked: { table: 'shop.parcel', key: 'id', where: { checked: true } },
  },
  timeout: '90 seconds',
  concurrency: 20,
  handle() {},
}) as unknown as Definition;

test('the manifests of this repository are those that are generated for its functions', async () => {
  const files = manifestsOf(await loadFunctions(['recordings', 'travelers']), OWN);
  const places = {
    'deployment.yaml': 'knative/base/NAME/deployment.yaml',
    'service.yaml': 'knative/base/NAME/service.yaml',
    'network-policy.yaml': 'knative/base/NAME/network-policy.yaml',
    'pod-disruption-budget.yaml': 'knative/base/NAME/pod-disruption-budget.yaml',
    'kafka-source.yaml': 'knative/base/NAME/source/kafka-source.yaml',
    'dead-letters.yaml': 'knative/base/NAME/source/dead-letters.yaml',
    'scaled-object.yaml': 'keda/NAME.yaml',
  };
  for (const name of ['recordings', 'travelers']) {
    const own = [...files.keys()].filter((file) => file.startsWith(`${name}/`));
    expect(own.length).toBe(name === 'recordings' ? 7 : 3);
    for (const file of own) {
      const place = places[file.slice(name.length + 1) as keyof typeof places];
      expect([file, files.get(file)]).toEqual([file, read(place.replace('NAME', name))]);
    }
  }
});

test('names, topics, brokers and limits follow from the definition and the options', () => {
  const files = manifestsOf([orders], OPTIONS);
  const object = (file: string) => parse(files.get(file)!) as never;
  expect(object('orders/kafka-source.yaml')).toMatchObject({
    metadata: { name: 'orders' },
    spec: {
      bootstrapServers: OPTIONS.brokers,
      topics: ['erp.shop.payment', 'erp.shop.parcel'],
      consumerGroup: 'muster-orders',
      delivery: { retry: 600, deadLetterSink: { ref: { name: 'orders-dead' } } },
      sink: { ref: { name: 'orders' } },
    },
  });
  expect(object('orders/deployment.yaml')).toMatchObject({
    spec: {
      template: {
        spec: {
          terminationGracePeriodSeconds: 120,
          containers: [
            {
              env: expect.arrayContaining([
                { name: 'FUNCTIONS', value: 'orders' },
                { name: 'DRAIN_SECONDS', value: '90' },
              ]),
            },
          ],
        },
      },
    },
  });
  expect(object('orders/scaled-object.yaml')).toMatchObject({
    spec: {
      maxReplicaCount: 2,
      triggers: [
        { name: 'lag', metadata: { topic: 'erp.shop.payment', bootstrapServers: 'a:9092,b:9092' } },
        { name: 'lag-2', metadata: { topic: 'erp.shop.parcel', consumerGroup: 'muster-orders' } },
        { name: 'due', metadata: { query: expect.stringContaining("function = 'orders'") } },
      ],
    },
  });
  const { resources, ...kustomization } = parse(files.get('kustomization.yaml')!) as {
    resources: string[];
  };
  expect(resources).toEqual([...files.keys()].filter((file) => file !== 'kustomization.yaml'));
  expect(kustomization).toMatchObject({
    namespace: 'shop',
    images: [{ name: 'muster', newName: 'registry.example.com:5000/orders', newTag: '1.2' }],
  });
  for (const [file, text] of files) {
    expect([file, parseAllDocuments(text).length]).toEqual([file, 1]);
    expect([file, /recordings|travelers|datastore|components\//.test(text)]).toEqual([file, false]);
  }
});

test("limits are kept: of the time to drain, of topics, of a namespace that is somebody else's", () => {
  const slow = { ...orders, timeout: '2 hours' } as Definition;
  const parts = { paid: { table: 'shop.pay$ment', key: 'id' } };
  const odd = { ...orders, parts, name: 'odd' } as unknown as Definition;
  const image = 'registry.example.com/orders@sha256:abc';
  const files = manifestsOf([slow, odd], { ...OPTIONS, image });
  expect(files.get('orders/deployment.yaml')).toContain("value: '3600'");
  expect(files.get('odd/kafka-source.yaml')).toContain('topics: [erp.shop.pay_ment]');
  expect([...files.keys()]).not.toContain('shared/namespace.yaml');
  expect(files.get('shared/migrate.yaml')).toContain('kubectl -n shop delete job migrate');
  expect(parse(files.get('kustomization.yaml')!)).toMatchObject({
    images: [{ newName: 'registry.example.com/orders', digest: 'sha256:abc' }],
  });
});

test.each(['http', 'kafka'] as const)(
  'every object is valid for its kind, with intake %s',
  (intake) => {
    for (const [file, text] of manifestsOf([orders], { ...OPTIONS, intake })) {
      if (file === 'kustomization.yaml') continue;
      expect([file, problemsWith(parse(text) as KubernetesObject)]).toEqual([file, []]);
    }
  },
);

test('pods that read the topics themselves need no source and no Service, and nobody may post to them', () => {
  const files = manifestsOf([orders], { ...OPTIONS, intake: 'kafka' });
  expect([...files.keys()].filter((file) => file.startsWith('orders/'))).toEqual([
    'orders/deployment.yaml',
    'orders/network-policy.yaml',
    'orders/pod-disruption-budget.yaml',
    'orders/scaled-object.yaml',
  ]);
  expect(parse(files.get('orders/network-policy.yaml')!)).toMatchObject({
    spec: { policyTypes: ['Ingress'], ingress: [] },
  });
  expect(files.get('orders/network-policy.yaml')).not.toContain('dispatcher');
  expect(files.get('orders/deployment.yaml')).toContain(
    `            - name: TOPIC\n              value: erp.shop.payment,erp.shop.parcel\n`,
  );
  expect(files.get('orders/scaled-object.yaml')).not.toContain('allowIdleConsumers');
});
