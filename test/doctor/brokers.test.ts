import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { brokers } from '../../src/doctor/cluster/brokers.ts';
import type { Broker, ClusterObjects } from '../../src/doctor/cluster/objects.ts';
import type { ClusterContext } from '../../src/doctor/cluster/workloads.ts';
import { specify } from '../../src/definitions/specification.ts';
import { defineFunction } from '../../src/function.ts';
import { triggersOf } from '../../src/manifests/triggers.ts';
import { reportOf } from './examination.ts';

/** Of the deployment that other tests of the doctor use, with parts that are events. */
const recordings = specify(
  defineFunction({
    name: 'recordings',
    parts: {
      paid: { event: 'com.shop.paid', key: 'subject', id: 'data.id', version: 'time' },
      sent: { event: 'com.shop.sent', key: 'subject' },
    },
    handle() {},
  }),
);
const status = { conditions: [{ type: 'Ready', status: 'True' }] };

// tests break the Triggers in ways that their type does not allow
type Loose = any;

interface Given {
  triggers: Loose[];
  brokers: Broker[];
}

/** The objects of a healthy cluster with the Triggers that `muster manifests` writes. */
function contextOf(damage: (given: Given) => void = () => {}): ClusterContext {
  const objects = JSON.parse(
    readFileSync(new URL('objects.json', import.meta.url), 'utf8'),
  ) as ClusterObjects;
  const source = readFileSync('knative/base/recordings/source/kafka-source.yaml', 'utf8');
  const written = triggersOf('recordings', ['com.shop.paid', 'com.shop.sent'], 'default', source);
  const given = {
    triggers: Object.values(written).map((text) => ({ ...parse(text), status })),
    brokers: [{ metadata: { name: 'default' }, status }],
  };
  damage(given);
  return {
    namespace: 'muster',
    objects: { ...objects, ...given, kafkaSources: [] },
    functions: ['recordings', 'travelers'],
    specifications: [recordings],
  };
}

const FINE = [
  '✓ recordings: trigger/recordings-com-shop-paid sends com.shop.paid, 600 retries; then recordings-dead',
  '✓ recordings: trigger/recordings-com-shop-sent sends com.shop.sent, 600 retries; then recordings-dead',
];

test('the Triggers that are generated are fine', async () => {
  expect(await reportOf(brokers, contextOf())).toEqual(FINE);
});

test('nothing is reported where no function reads events and no Trigger sends any', async () => {
  const context = contextOf((given) => (given.triggers = []));
  expect(await reportOf(brokers, { ...context, specifications: [] })).toEqual([]);
});

test('Triggers that can not be listed are not checked', async () => {
  const context = contextOf();
  const objects = { ...context.objects, triggers: { why: 'this user may not list triggers' } };
  await expect(async () => brokers.run({ ...context, objects })).rejects.toThrow('may not list');
});

const types: [string, (given: Given) => void, string][] = [
  [
    'a type without a Trigger',
    ({ triggers }) => triggers.pop(),
    '✗ no Trigger sends events of the type com.shop.sent to recordings',
  ],
  [
    'a subscriber that points elsewhere',
    ({ triggers }) =>
      (triggers[1].spec.subscriber = { ref: { apiVersion: 'v1', kind: 'Service', name: 'mail' } }),
    '✗ no Trigger sends events of the type com.shop.sent to recordings; trigger/recordings-com-shop-sent sends them to mail',
  ],
  [
    'a subscriber that is the Knative Service of that name',
    ({ triggers }) =>
      (triggers[1].spec.subscriber = {
        ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'recordings' },
      }),
    '✗ no Trigger sends events of the type com.shop.sent to recordings; trigger/recordings-com-shop-sent sends them to recordings',
  ],
  [
    'a filter for a type that no part names',
    ({ triggers }) =>
      triggers.push({
        ...triggers[0],
        metadata: { name: 'typo' },
        spec: { ...triggers[0].spec, filter: { attributes: { type: 'com.shop.payed' } } },
      }),
    '✗ trigger/typo sends events of the type com.shop.payed to recordings, which names no such type, and ignores them; did you mean com.shop.paid?',
  ],
  [
    'no retry',
    ({ triggers }) => (triggers[0].spec.delivery = {}),
    '✗ neither trigger/recordings-com-shop-paid nor its Broker has a delivery with retry: an event that is not accepted at once is given up',
  ],
  [
    'no dead letter sink',
    ({ triggers }) => (triggers[0].spec.delivery = { retry: 3 }),
    '✗ neither trigger/recordings-com-shop-paid nor its Broker has a deadLetterSink: events that are not accepted after 3 retries are lost',
  ],
  [
    'a Trigger that is not ready',
    ({ triggers }) =>
      triggers.splice(0, 1, {
        ...triggers[0],
        status: {
          conditions: [
            { type: 'Ready', status: 'False', reason: 'BrokerDoesNotExist', message: 'no default' },
          ],
        },
      }),
    '✗ trigger/recordings-com-shop-paid is not ready: BrokerDoesNotExist: no default',
  ],
];

test.for(types)('reports %s', async ([, damage, expected]) => {
  const report = await reportOf(brokers, contextOf(damage));
  expect(report.filter((line) => !line.startsWith('✓'))).toEqual([expected]);
});

test('what a Trigger does not set is that of its Broker', async () => {
  const context = contextOf((given) => {
    for (const { spec } of given.triggers) delete spec.delivery;
    const deadLetterSink = { uri: 'http://letters.example.com' };
    given.brokers = [
      { metadata: { name: 'default' }, spec: { delivery: { retry: 9, deadLetterSink } } },
    ];
  });
  expect((await reportOf(brokers, context))[0]).toBe(
    '✓ recordings: trigger/recordings-com-shop-paid sends com.shop.paid, 9 retries; then http://letters.example.com',
  );
});

test('a Trigger without a filter on the type, one with other filters, and a URL are understood', async () => {
  const context = contextOf(({ triggers }) => {
    delete triggers[0].spec.filter;
    triggers[1].spec.subscriber = { uri: 'http://recordings.muster.svc.cluster.local' };
    triggers[1].spec.filters = [{ exact: { type: 'com.shop.sent' } }];
    delete triggers[1].spec.filter;
  });
  expect(await reportOf(brokers, context)).toEqual([
    FINE[0]!.replace('com.shop.paid,', 'every type,'),
    FINE[1],
  ]);
});

test('types may also come from a topic of a KafkaSource', async () => {
  const context = contextOf(({ triggers }) => triggers.pop());
  const { kafkaSources } = JSON.parse(
    readFileSync(new URL('objects.json', import.meta.url), 'utf8'),
  ) as ClusterObjects;
  const objects = { ...context.objects, kafkaSources };
  expect(await reportOf(brokers, { ...context, objects })).toEqual([
    '– no Trigger sends com.shop.sent to recordings; they may come from the topics postgres.datastore.signal',
    FINE[0],
  ]);
});
