import { expect } from 'vitest';
import { defineFunction } from '../../src/function.ts';
import { serverOn } from '../support/engine.ts';
import { TestProcess } from '../support/process.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

const pair = defineFunction({
  name: 'pair',
  parts: {
    a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
    b: { table: 'public.item', key: 'k', where: { kind: 'b' } },
  },
  handle() {},
});

const HEADERS = {
  'ce-specversion': '1.0',
  'ce-source': '/test',
  'ce-type': 'dev.knative.kafka.event',
};

function envelope(lsn: number, atMs: number, after: object): string {
  const source = { name: 'pg', schema: 'public', table: 'item', lsn, ts_ms: atMs };
  return JSON.stringify({ op: 'c', before: null, after, source });
}

async function muster(db: TestDatabase, ...args: string[]) {
  const child = new TestProcess('src/cli/muster.ts', args, { DATABASE_URL: db.url });
  const { code } = await child.exited;
  return { code, stdout: child.stdout, stderr: child.stderr };
}

test('parked events are listed and shown; once their cause is fixed, redelivery ingests them', async ({
  db,
}) => {
  const server = await serverOn(db, [pair]);
  const post = (id: string, body: string) =>
    fetch(server.url, { method: 'POST', headers: { ...HEADERS, 'ce-id': id }, body });
  const now = Date.now() - 7_200_000;
  await post('1', envelope(5_000_000, now, { id: 1, k: 'x', kind: 'a' }));
  await post('2', 'no JSON');
  // the source was restored: its log restarts, an hour later
  await post('3', envelope(1_000, now + 3_600_000, { id: 2, k: 'x', kind: 'b' }));

  const list = await muster(db, 'parked');
  expect(list.code).toBe(0);
  expect(list.stdout.split('\n').map((line) => line.split('\t')[2])).toEqual([
    'position-restarted',
    'not-a-change',
    undefined,
  ]);
  const [second] = await db.query<{ id: string }>(
    `select id from muster.parked where reason = 'not-a-change'`,
  );
  const shown = await muster(db, 'parked', second!.id);
  expect(shown.stdout).toContain('ce-id: 2\n');
  expect(shown.stdout.endsWith('\n\nno JSON\n')).toBe(true);

  const early = await muster(db, 'redeliver', '--to', server.url);
  expect(early).toMatchObject({ code: 1, stderr: 'muster: 2 events could not be ingested yet\n' });
  expect(early.stdout).toContain('0 redelivered, 2 left');

  expect((await muster(db, 'epoch', 'bump', 'pg')).stdout).toMatch(
    /^source pg is now in epoch 1: positions restart with changes committed from \S+ on\n$/,
  );
  // the server learns the new epoch with the next renewal of its lease
  await until(
    async () =>
      (await muster(db, 'redeliver', '--reason', 'position-restarted', '--to', server.url)).code ===
      0,
  );
  await until(
    async () => (await db.query(`select from muster.run where state = 'done'`)).length === 1,
  );
  expect(await db.query('select reason from muster.parked')).toEqual([{ reason: 'not-a-change' }]);
  await server.stop();
});

test('an event with a key of 40 KiB is parked with a shortened key, and can be redelivered', async ({
  db,
}) => {
  const server = await serverOn(db, [pair]);
  const key = 'k'.repeat(40 * 1024);
  const post = (id: string, body: string) =>
    fetch(server.url, {
      method: 'POST',
      headers: { ...HEADERS, 'ce-id': id, 'ce-key': key, 'ce-partitionkey': key },
      body,
    });
  const now = Date.now();
  const tooLong = await post('1', envelope(1_000, now, { id: key, k: 'x', kind: 'a' }));
  expect(tooLong.status).toBe(202);
  // parked for another reason, which can be fixed
  const row = { id: 7, k: '__debezium_unavailable_value', kind: 'a' };
  const update = envelope(3_000, now, row).replace('"op":"c"', '"op":"u"');
  expect((await post('2', update)).status).toBe(202);
  expect((await server.metrics.parked.get()).values).toContainEqual({
    labels: { reason: 'bad-key' },
    value: 1,
  });

  const parked = await db.query<{ attributes: Record<string, string> }>(
    'select attributes from muster.parked order by id',
  );
  for (const { attributes } of parked) {
    expect(attributes['key']).toBe(`${'k'.repeat(256)}...(40960-bytes)`);
    expect(attributes['partitionkey']).toBe(attributes['key']);
  }
  expect((await post('3', envelope(2_000, now, { id: 7, k: 'x', kind: 'a' }))).status).toBe(204);
  const redelivered = await muster(db, 'redeliver', '--to', server.url);
  expect(redelivered.stdout).toContain('1 redelivered, 1 left');
  expect(redelivered.stdout).toContain('bad-key');
  await server.stop();
});

test('a paused function completes sets but runs none until it is resumed', async ({ db }) => {
  const server = await serverOn(db, [pair]);
  expect(await muster(db, 'pause', 'pair')).toMatchObject({
    code: 0,
    stdout: "pair is paused: no run starts until 'muster resume pair'\n",
  });
  for (const [i, kind] of ['a', 'b'].entries()) {
    const body = envelope(i + 1, Date.now(), { id: i, k: 'x', kind });
    await fetch(server.url, { method: 'POST', headers: { ...HEADERS, 'ce-id': kind }, body });
  }
  expect((await muster(db, 'sets')).stdout).toMatch(/^pair\tx\tcomplete\tsince \S+Z\n$/);
  await muster(db, 'resume', 'pair');
  await until(
    async () => (await db.query(`select from muster.run where state = 'done'`)).length === 1,
  );
  expect((await muster(db, 'sets')).stdout).toMatch(/^pair\tx\tdone\tsince \S+Z\n$/);
  await server.stop();
});

test('redeliver and parked report invalid arguments', async ({ db }) => {
  expect(await muster(db, 'redeliver', 'seven')).toMatchObject({
    code: 2,
    stderr: "muster: id must be a whole number of 1 or more, not 'seven'\n",
  });
  expect(await muster(db, 'redeliver', '--dead-letters', 'dead')).toMatchObject({
    code: 2,
    stderr: 'muster: --dead-letters needs --brokers, or KAFKA_BROKERS\n',
  });
  expect(await muster(db, 'parked', '4')).toMatchObject({
    code: 1,
    stderr: 'muster: no event 4 is parked\n',
  });
});
