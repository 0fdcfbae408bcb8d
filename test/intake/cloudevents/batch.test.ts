import { expect } from 'vitest';
import {
  MAX_BAD_ELEMENTS,
  MAX_ELEMENTS,
  readBatch,
} from '../../../src/intake/cloudevents/batch.ts';
import { EventIngestor } from '../../../src/intake/ingest.ts';
import { readRecord } from '../../../src/intake/cloudevents/kafka-record.ts';
import { Unavailable, type Outcome } from '../../../src/state/outcome.ts';
import { serverOn } from '../../support/engine.ts';
import { pairOf } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { test as onDatabase } from '../../support/test.ts';
import { insert } from '../messages.ts';
import { Recorder, test } from '../server.ts';

const batch = { 'content-type': 'application/cloudevents-batch+json' };

test('a batch is ingested at once and answered 204', async ({ serve }) => {
  const intake = new Recorder();
  const all = Promise.withResolvers<Outcome>();
  intake.answer = () => {
    if (intake.ingested.length === 3) all.resolve({ kind: 'ingested' });
    return all.promise;
  };
  const server = await serve(intake);
  const body = JSON.stringify([element(), element(), element()]);
  expect(await server.post(body, batch)).toEqual({ status: 204, reason: null, body: null });
});

test('a batch with elements that can’t be read parks and names those, and ingests the others', async ({
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
    'neither an envelope (op, source, before, after) nor a flattened row (__op, __table, __lsn or __file)',
  ];
  const names = [
    { index: 1, id: '' },
    { index: 2, id: null },
    { index: 3, id: 'x' },
  ];
  expect(await server.post(body, { ...batch, prefer: 'return=representation' })).toEqual({
    status: 202,
    reason: null,
    body: {
      parked: reasons.map((detail, i) => ({ ...names[i], parked: 'not-a-change', detail })),
    },
  });
  expect(intake.ingested).toHaveLength(2);
  expect(intake.parked).toEqual(reasons.map((detail) => `not-a-change: ${detail}`));
});

test('a batch is answered 503 if one of its events is unavailable, after the others are ingested', async ({
  serve,
}) => {
  const intake = new Recorder();
  intake.answer = () =>
    intake.ingested.length === 1
      ? Promise.reject(new Unavailable('overload', 'full'))
      : Promise.resolve({ kind: 'ingested' });
  const server = await serve(intake);
  const body = JSON.stringify([element(), element(), element({ id: '' })]);
  expect(await server.post(body, batch)).toMatchObject({ status: 503, reason: 'overload' });
  expect(server.counted.toSorted()).toEqual([
    'events ingested',
    'parked not-a-change',
    'refused overload',
  ]);
});

test('an empty batch is answered 204', async ({ serve }) => {
  const server = await serve(new Recorder());
  expect(await server.post('[]', batch)).toEqual({ status: 204, reason: null, body: null });
});

test.for<[what: string, body: () => string, detail: string]>([
  [
    'more elements than are taken at a time',
    () => JSON.stringify(Array.from({ length: MAX_ELEMENTS + 1 }, () => element())),
    'the batch has more than 10000 elements: send smaller ones',
  ],
  [
    'more elements than that, one of which is bad',
    () => JSON.stringify([element(), 7, ...Array.from({ length: MAX_ELEMENTS }, () => element())]),
    'the batch has more than 10000 elements: send smaller ones; element 1 is the first that is not a CloudEvent: the event is not a JSON object',
  ],
  [
    'more bad elements than are parked one by one',
    () => JSON.stringify([element(), ...Array.from({ length: MAX_BAD_ELEMENTS + 1 }, (_, i) => i)]),
    'more than 100 elements of the batch are not CloudEvents; element 1 is the first that is not a CloudEvent: the event is not a JSON object',
  ],
])('a batch with %s is parked whole', async ([, body, detail], { serve }) => {
  const intake = new Recorder();
  const server = await serve(intake);
  expect(await server.post(body(), { ...batch, prefer: 'return=representation' })).toEqual({
    status: 202,
    reason: null,
    body: { parked: 'not-a-change', detail },
  });
  expect(intake.ingested).toEqual([]);
  expect(intake.parked).toEqual([`not-a-change: ${detail}`]);
});

test('a batch at the limits of elements and bad ones is ingested element by element', async ({
  serve,
}) => {
  const intake = new Recorder();
  const server = await serve(intake);
  const bad = Array.from({ length: MAX_BAD_ELEMENTS }, (_, i) => i);
  const good = Array.from({ length: MAX_ELEMENTS - MAX_BAD_ELEMENTS }, () => element());
  expect(await server.post(JSON.stringify([...bad, ...good]), batch)).toMatchObject({
    status: 202,
  });
  expect([intake.ingested.length, intake.parked.length]).toEqual([good.length, bad.length]);
});

/** As a record is read in pull mode. */
async function ingestRecord(intake: Recorder, contentType: string, value: string | null) {
  const counted: string[] = [];
  const ingestor = new EventIngestor(intake, (name, labels) => {
    counted.push([name, ...Object.values(labels)].join(' '));
  });
  const record = {
    topic: 't',
    partition: 0,
    offset: 7,
    value: value === null ? null : Buffer.from(value),
    headers: { 'content-type': Buffer.from(contentType) },
  };
  await ingestor.ingestRecord(readRecord(record), {});
  return counted;
}

const structured = 'application/cloudevents+json';

test.for<[what: string, type: string, value: string | null, counted: string[]]>([
  ['a structured event', structured, JSON.stringify(element()), ['events ingested']],
  ['a tombstone that claims to be one', structured, null, ['ignored tombstone']],
  ['an envelope that claims to be one', structured, JSON.stringify(insert), ['events ingested']],
  [
    'a structured event of another type that is none',
    structured,
    JSON.stringify(element({ type: 'x', time: 'y' })),
    ['parked not-a-change'],
  ],
  ['another format', 'application/cloudevents+avro', 'x', ['parked not-a-change']],
  [
    'a batch',
    batch['content-type'],
    JSON.stringify([element(), 7]),
    ['events ingested', 'parked not-a-change'],
  ],
  [
    'a batch that is none',
    batch['content-type'],
    `[${'1,'.repeat(200)}1]`,
    ['parked not-a-change'],
  ],
])('a record that is %s is ingested as from a KafkaSource', async ([, type, value, counted]) => {
  expect((await ingestRecord(new Recorder(), type, value)).toSorted()).toEqual(counted);
});

test('the event loop turns while a batch is read', async () => {
  let turns = 0;
  let ticking = setImmediate(function tick() {
    turns++;
    ticking = setImmediate(tick);
  });
  const origin = { attributes: {}, contentType: null, body: Buffer.of() };
  const read = () => {
    for (const end = performance.now() + 11; performance.now() < end;);
    return { origin, why: 'slow' };
  };
  await readBatch({ origin, texts: [origin.body, origin.body, origin.body], read });
  clearImmediate(ticking);
  expect(turns).toBeGreaterThanOrEqual(2);
});

onDatabase(
  'events that are parked concurrently share statements, and equal ones a row',
  async ({ db }) => {
    const server = await serverOn(db, [pairOf()]);
    const elements = Array.from({ length: MAX_BAD_ELEMENTS }, (_, i) => i % 60);
    const response = await fetch(server.url, {
      method: 'POST',
      headers: batch,
      body: JSON.stringify(elements),
    });
    expect(response.status).toBe(202);
    await server.stop();
    expect(
      await db.query(`
      select count(*)::int as rows, sum(seen)::int as times, count(distinct xmin::text)::int as statements
      from muster.parked`),
    ).toEqual([{ rows: 60, times: 100, statements: 1 }]);
  },
);

onDatabase('one that Postgres refuses to park holds up none of those beside it', async ({ db }) => {
  await db.query(`alter table muster.parked add check (detail <> 'bad')`);
  const worker = await workerOn(db, [pairOf()]);
  const park = (id: string, detail: string) => {
    const attributes = { id, source: '/s' };
    return worker.ingestor.park(
      { attributes, contentType: null, body: Buffer.of() },
      'not-a-change',
      detail,
    );
  };
  const results = await Promise.allSettled([park('1', 'a'), park('2', 'bad'), park('3', 'b')]);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(await db.query('select detail from muster.parked order by id')).toEqual([
    { detail: 'a' },
    { detail: 'b' },
  ]);
});

/** An element of a batch, with the change unless told otherwise. */
function element(more: object = {}): object {
  const attributes = { specversion: '1.0', id: '1', source: '/s', type: 'dev.knative.kafka.event' };
  return { ...attributes, data: insert, ...more };
}
