import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, onTestFinished } from 'vitest';
import { exampleEvent } from '../../src/definitions/example-event.ts';
import { specify } from '../../src/definitions/specification.ts';
import { isMessagePart } from '../../src/definitions/streams.ts';
import { exampleMessages } from '../../src/definitions/example-message.ts';
import { defineFunction } from '../../src/function.ts';
import { curlLine } from '../../src/lib/curl-line.ts';
import { serverOn } from '../support/engine.ts';
import { test } from '../support/test.ts';

const shop = defineFunction({
  name: 'mixed',
  parts: {
    row: { table: 'shop.item', key: 'k' },
    paid: { event: 'com.shop.paid', key: 'data.order', where: { subject: "it's" }, count: 2 },
    label: { topic: 'labels', key: 'order' },
  },
  handle() {},
});

const parts = specify(
  defineFunction({
    name: 'shop',
    parts: {
      paid: {
        event: 'com.shop.paid',
        key: ['data.order.id', 'subject'],
        where: { 'data.country': 'NO', 'data.note': null },
        columns: ['data.order', 'data.note'],
      },
      again: { event: 'com.shop.paid', key: ['data.other', 'source'] },
      sent: { event: 'com.shop.sent', key: ['data.a', 'data.b'], id: 'data.id', version: 'time' },
      label: { topic: 'labels', key: ['order', 'line'], columns: ['text'] },
    },
    handle() {},
  }),
).parts.filter(isMessagePart);

const of = (i: number) => exampleEvent(parts[i]!, parts, { n: 7, key: 'k', at: 1_764_374_400_000 });

test('an example of an event has all that the parts of its type name', () => {
  expect(of(0)).toEqual({
    specversion: '1.0',
    id: '7',
    source: '/me',
    type: 'com.shop.paid',
    subject: 'k',
    data: { order: { id: 'k' }, country: 'NO', other: 1 },
  });
  expect(of(1)).toMatchObject({ source: 'k' });
});

test('an example of an event with a version, and one of a record', () => {
  expect(of(2)).toMatchObject({
    time: '2025-11-29T00:00:00.000Z',
    data: { a: 'k', b: 'k', id: '7' },
  });
  expect(of(3)).toEqual({
    specversion: '1.0',
    type: 'dev.knative.kafka.event',
    source: '/me#labels',
    id: 'partition:0/offset:1764374400007',
    data: { order: 'k', line: 'k', text: 1 },
  });
});

test('the examples of a function complete its set when they are sent with the printed commands', async ({
  db,
}) => {
  const server = await serverOn(db, [shop]);
  onTestFinished(() => server.stop());
  const specification = specify(shop);
  const lines = exampleMessages(specification, specification.parts).map(({ message }) =>
    curlLine(server.url, '1', JSON.stringify(message)),
  );
  let answer = '';
  for (const line of lines) {
    answer = (await promisify(execFile)('sh', ['-c', `${line} -s`])).stdout;
  }
  expect(JSON.parse(answer)).toMatchObject({
    outcome: 'ingested',
    sets: [{ key: 'example', missing: [] }],
  });
});
