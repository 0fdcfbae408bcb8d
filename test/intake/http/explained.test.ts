import { expect } from 'vitest';
import { serverOn } from '../../support/engine.ts';
import { pairOf } from '../../support/pair.ts';
import { envelope } from '../../support/sender.ts';
import { test } from '../../support/test.ts';

const unsent = '__debezium_unavailable_value';

async function explained(url: string, body: string, type = 'dev.knative.kafka.event') {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-id': '1',
      'ce-source': '/s',
      'ce-type': type,
      prefer: 'return=representation',
    },
    body,
  });
  return { status: response.status, body: await response.json() };
}

test('a change whose key or filter was not sent is explained by the known state of its row', async ({
  db,
}) => {
  const server = await serverOn(db, [pairOf()]);
  await explained(server.url, envelope('c', 1, { id: 1, k: 'x', kind: 'a' }));
  const changes = [
    { id: 1, k: unsent, kind: 'a' },
    { id: 1, k: 'x', kind: unsent },
    { id: 1, k: unsent, kind: unsent },
  ];
  for (const [i, row] of changes.entries()) {
    expect(await explained(server.url, envelope('u', 2 + i, row))).toMatchObject({
      status: 200,
      body: { outcome: 'ingested', sets: [{ key: 'x', status: 'waiting', missing: ['b'] }] },
    });
  }
  await server.stop();
  expect(server.lines.filter(({ level }) => level === 'error')).toEqual([]);
});

test('an older change is explained by the set that its row is in now', async ({ db }) => {
  const server = await serverOn(db, [pairOf()]);
  await explained(server.url, envelope('u', 9, { id: 1, k: 'new', kind: 'a' }));
  expect(
    await explained(server.url, envelope('u', 5, { id: 1, k: 'old', kind: 'a' })),
  ).toMatchObject({ body: { sets: [{ key: 'new' }] } });
  expect(await explained(server.url, envelope('d', 10, { id: 1 }))).toEqual({
    status: 200,
    body: { outcome: 'ingested', sets: [], why: 'the row is deleted' },
  });
  await server.stop();
});

test('an explained answer reports a null key for each part', async ({ db }) => {
  const server = await serverOn(db, [pairOf()]);
  expect(await explained(server.url, envelope('u', 1, { id: 1, k: null, kind: 'a' }))).toEqual({
    status: 200,
    body: {
      outcome: 'ingested',
      sets: [],
      why: "column 'k' of public.item is null: the row is in no set of pair by its part a; column 'k' of public.item is null: the row is in no set of pair by its part b",
    },
  });
  await server.stop();
});

test('an explained answer lists the tables that functions read, and for a partition the setting to change', async ({
  db,
}) => {
  const server = await serverOn(db, [pairOf()]);
  const why = 'no function that is served here names the table';
  expect(await explained(server.url, envelope('c', 1, { id: 1 }, 'public.thing'))).toEqual({
    status: 200,
    body: { outcome: 'unwanted', sets: [], why: `${why} public.thing, only public.item` },
  });
  expect(await explained(server.url, envelope('c', 1, { id: 1 }, 'public.item_2026_11'))).toEqual({
    status: 200,
    body: {
      outcome: 'unwanted',
      sets: [],
      why: `${why} public.item_2026_11, only public.item; if it is a partition of public.item: alter publication <name> set (publish_via_partition_root = true)`,
    },
  });
  await server.stop();
});
