import { expect } from 'vitest';
import { Unavailable, type Outcome } from '../../src/state/outcome.ts';
import { insert } from './messages.ts';
import { Recorder, test } from './server.ts';

const batch = { 'content-type': 'application/cloudevents-batch+json' };

test('a batch is filed at once and answered 204', async ({ serve }) => {
  const intake = new Recorder();
  const all = Promise.withResolvers<Outcome>();
  intake.answer = () => {
    if (intake.filed.length === 3) all.resolve({ kind: 'filed' });
    return all.promise;
  };
  const server = await serve(intake);
  const body = JSON.stringify([element(), element(), element()]);
  expect(await server.post(body, batch)).toEqual({ status: 204, reason: null, body: null });
});

test('a batch with elements that can’t be read parks those, names them, and files the others', async ({
  serve,
}) => {
  const intake = new Recorder();
  const server = await serve(intake);
  const body = JSON.stringify([
    element(),
    element({ id: '' }),
    7,
    element({ id: 'x', data: {} }),
    element(),
  ]);
  const reasons = [
    'attribute id is empty',
    'the event is not a JSON object',
    'neither an envelope (op, source, before, after) nor a flattened row (__op, __table, __lsn)',
  ];
  const names = [
    { index: 1, id: '' },
    { index: 2, id: null },
    { index: 3, id: 'x' },
  ];
  expect(await server.post(body, batch)).toEqual({
    status: 202,
    reason: null,
    body: {
      parked: reasons.map((detail, i) => ({ ...names[i], parked: 'not-a-change', detail })),
    },
  });
  expect(intake.filed).toHaveLength(2);
  expect(intake.parked).toEqual(reasons.map((detail) => `not-a-change: ${detail}`));
});

test('a batch is answered 503 if one of its events is unavailable, after the others are filed', async ({
  serve,
}) => {
  const intake = new Recorder();
  intake.answer = () =>
    intake.filed.length === 1
      ? Promise.reject(new Unavailable('overload', 'full'))
      : Promise.resolve({ kind: 'filed' });
  const server = await serve(intake);
  const body = JSON.stringify([element(), element(), element({ id: '' })]);
  expect(await server.post(body, batch)).toMatchObject({ status: 503, reason: 'overload' });
  expect(server.counted.toSorted()).toEqual([
    'events filed',
    'parked not-a-change',
    'refused overload',
  ]);
});

test('a batch of nothing is answered 204', async ({ serve }) => {
  const server = await serve(new Recorder());
  expect(await server.post('[]', batch)).toEqual({ status: 204, reason: null, body: null });
});

/** An element of a batch, with the change unless told otherwise. */
function element(more: object = {}): object {
  const attributes = { specversion: '1.0', id: '1', source: '/s', type: 'dev.knative.kafka.event' };
  return { ...attributes, data: insert, ...more };
}
