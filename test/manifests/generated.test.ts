import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { defineFunction, type Definition } from '../../src/function.ts';
import { loadFunctions } from '../../src/definitions/load-functions.ts';
import { manifestsOf, obstacle, OWN, type ManifestOptions } from '../../src/manifests/manifests.ts';

const read = (path: string) => readFileSync(path, 'utf8');
const OPTIONS: ManifestOptions = {
  namespace: 'shop',
  image: 'registry.example.com:5000/orders:1.2',
  brokers: ['a:9092', 'b:9092'],
  topicPrefix: 'erp',
  intake: 'http',
  broker: 'shop',
  workload: 'deployment',
};

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

test('those of Knative Services are generated, too', async () => {
  const definitions = await loadFunctions(['recordings', 'travelers']);
  const files = manifestsOf(definitions, { ...OWN, workload: 'knative-service' });
  const own = [...files.keys()].filter((file) => file.startsWith('recordings/'));
  expect(own.toSorted()).toEqual([
    'recordings/dead-letters.yaml',
    'recordings/kafka-source.yaml',
    'recordings/knative-service.yaml',
    'recordings/ping-source.yaml',
  ]);
  // `kn service apply` reads this file alone, so it names an image
  const image = 'image: kind.local/muster:quickstart';
  const service = read('knative/kn/recordings.yaml');
  expect(service.split(image)).toHaveLength(2);
  expect(files.get('recordings/knative-service.yaml')).toBe(
    service.replace(image, 'image: muster'),
  );
  expect(files.get('recordings/ping-source.yaml')).toBe(read('knative/kn/ping-source.yaml'));
  expect(files.get('shared/knative.yaml')).toBe(read('knative/kn/network-policy.yaml'));
  const letters = read('knative/base/recordings/source/dead-letters.yaml');
  expect(files.get('recordings/dead-letters.yaml')).toBe(letters);
  // a projection has no requests, so it stays as it is
  const deployed = manifestsOf(definitions, OWN);
  for (const [file, text] of deployed) {
    if (!file.startsWith('travelers/')) continue;
    expect([file, files.get(file)]).toEqual([file, text]);
  }
  // of the source, only the sink differs, and comments about KEDA
  const path = 'recordings/kafka-source.yaml';
  const source = parse(deployed.get(path)!) as { spec: { sink: { ref: object } } };
  const { ref } = source.spec.sink;
  source.spec.sink.ref = { ...ref, apiVersion: 'serving.knative.dev/v1' };
  expect(parse(files.get(path)!)).toEqual(source);
  expect(files.get(path)).not.toMatch(/KEDA|ScaledObject/);
});

test.each([
  ['90 seconds', 20, { drain: '90', timeoutSeconds: 140, pods: '2' }],
  ['9 minutes', 1_000, { drain: '540', timeoutSeconds: 590, pods: '8' }],
  ['2 hours', undefined, { drain: '550', timeoutSeconds: 600, pods: '8' }],
])(
  'a Knative Service has the limits of its function: a timeout of %s, concurrency %s',
  (timeout, concurrency, { drain, timeoutSeconds, pods }) => {
    const definition = { ...orders, timeout, concurrency } as Definition;
    const files = manifestsOf([definition], { ...OPTIONS, workload: 'knative-service' });
    expect(parse(files.get('orders/knative-service.yaml')!)).toMatchObject({
      metadata: { name: 'orders' },
      spec: {
        template: {
          metadata: { annotations: { 'autoscaling.knative.dev/max-scale': pods } },
          spec: {
            timeoutSeconds,
            containers: [
              {
                image: 'muster',
                env: expect.arrayContaining([
                  { name: 'FUNCTIONS', value: 'orders' },
                  { name: 'DRAIN_SECONDS', value: drain },
                ]),
              },
            ],
          },
        },
      },
    });
    for (const [file, text] of files) {
      expect([file, parseAllDocuments(text).length]).toEqual([file, 1]);
      expect([file, /recordings|travelers|datastore|kind\.local/.test(text)]).toEqual([
        file,
        false,
      ]);
    }
  },
);

/** The Secrets and topics that the comment for users lists. */
function needs(options: Partial<ManifestOptions>): string[] {
  const text = manifestsOf([orders], { ...OPTIONS, ...options }).get('kustomization.yaml')!;
  return [...new Set(text.match(/muster-database-\w+|<function>-dead/g))];
}

test('what has to be created elsewhere is what the objects need', () => {
  const secrets = ['muster-database-migrate', 'muster-database-serve'];
  expect(needs({})).toEqual([...secrets, 'muster-database-keda', '<function>-dead']);
  expect(needs({ intake: 'kafka' })).toEqual([...secrets, 'muster-database-keda']);
  expect(needs({ workload: 'knative-service' })).toEqual([...secrets, '<function>-dead']);
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
  const others = [...files.keys()].filter((file) => file !== 'kustomization.yaml');
  expect(resources).toEqual(others.toSorted());
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

test('pods that read the log of a source have a slot for each function, and one is always up', () => {
  const files = manifestsOf([orders], { ...OPTIONS, intake: 'wal' });
  expect([...files.keys()].filter((file) => file.startsWith('orders/'))).toEqual([
    'orders/deployment.yaml',
    'orders/network-policy.yaml',
    'orders/pod-disruption-budget.yaml',
    'orders/scaled-object.yaml',
  ]);
  expect(parse(files.get('orders/deployment.yaml')!)).toMatchObject({
    spec: {
      template: {
        spec: {
          containers: [
            {
              env: expect.arrayContaining([
                { name: 'INTAKE', value: 'wal' },
                { name: 'WAL_SLOT', value: 'muster_orders' },
                {
                  name: 'SOURCE_DATABASE_URL',
                  valueFrom: { secretKeyRef: { name: 'muster-source', key: 'url' } },
                },
              ]),
            },
          ],
        },
      },
    },
  });
  const scaled = parse(files.get('orders/scaled-object.yaml')!) as {
    spec: { minReplicaCount: number; triggers: { type: string }[] };
  };
  expect(scaled.spec.minReplicaCount).toBe(1);
  expect(scaled.spec.triggers.map(({ type }) => type)).not.toContain('kafka');
  expect(files.get('orders/scaled-object.yaml')).not.toContain('Broker');
  expect(files.get('kustomization.yaml')).toContain('the Secret muster-source');
});

test('a function whose parts are events and records has Triggers, and a pod that is always up', () => {
  const mixed = defineFunction({
    name: 'mixed',
    parts: {
      paid: {
        event: 'com.shop.Paid',
        key: 'subject',
        id: 'data.id',
        version: 'time',
        deletedBy: `com.shop.${'x'.repeat(60)}`,
      },
      label: { topic: 'labels', key: 'order' },
    },
    handle() {},
  }) as unknown as Definition;
  const files = manifestsOf([mixed], OPTIONS);
  const object = (file: string) => parse(files.get(`mixed/${file}`)!) as object;
  for (const [file, type] of [
    ['trigger-com-shop-paid.yaml', 'com.shop.Paid'],
    ['trigger-event-2.yaml', `com.shop.${'x'.repeat(60)}`],
  ] as const) {
    expect(object(file)).toMatchObject({
      kind: 'Trigger',
      spec: {
        broker: 'shop',
        filter: { attributes: { type } },
        delivery: { retry: 600, deadLetterSink: { ref: { name: 'mixed-dead' } } },
        subscriber: { ref: { kind: 'Service', name: 'mixed' } },
      },
    });
  }
  expect(object('kafka-source.yaml')).toMatchObject({ spec: { topics: ['labels'] } });
  expect(object('scaled-object.yaml')).toMatchObject({
    spec: { minReplicaCount: 1, triggers: [{ metadata: { topic: 'labels' } }, {}] },
  });
  expect(files.get('mixed/network-policy.yaml')).not.toContain('kafka-source-dispatcher');
  const { label: _, ...parts } = (mixed as { parts: Record<string, unknown> }).parts;
  const only = manifestsOf([{ ...mixed, parts } as unknown as Definition], OPTIONS);
  expect([...only.keys()]).not.toContain('mixed/kafka-source.yaml');
  expect(only.get('mixed/scaled-object.yaml')).not.toContain('type: kafka');
  expect(obstacle([mixed], { ...OPTIONS, intake: 'kafka' })).toContain('use --intake http');
  const knative = manifestsOf([mixed], { ...OPTIONS, workload: 'knative-service' });
  expect(parse(knative.get('mixed/trigger-com-shop-paid.yaml')!)).toMatchObject({
    spec: { subscriber: { ref: { apiVersion: 'serving.knative.dev/v1', name: 'mixed' } } },
  });
});
