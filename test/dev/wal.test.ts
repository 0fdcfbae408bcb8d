import pg from 'pg';
import { expect } from 'vitest';
import { parseLsn } from '../../src/intake/wal/lsn.ts';
import { startWal } from '../../src/local/debezium/wal.ts';
import { Inbox, test, until } from './support/source.ts';

const SOURCE = { tables: ['datastore.signal'], slot: 'acknowledged' };
const ROW = `insert into datastore.signal (recording, span, sensor_label)
             values (gen_random_uuid(), '[0,60)', $1)`;

const labels = (inbox: Inbox) =>
  inbox.messages.map(({ value }) => JSON.parse(value ?? '').after.sensor_label);
const ops = (inbox: Inbox) => inbox.messages.map(({ value }) => JSON.parse(value ?? '').op);

async function slotPosition(client: pg.Client): Promise<bigint> {
  const { rows } = await client.query(
    'select confirmed_flush_lsn as position from pg_replication_slots where slot_name = $1 and database = current_database()',
    [SOURCE.slot],
  );
  return parseLsn(rows[0].position);
}

test('the slot is not acknowledged past an undelivered message', async ({ url, client, inbox }) => {
  const wal = await startWal({ url, ...SOURCE, slot: 'held', deliver: inbox.deliver });
  inbox.held = true;
  for (const label of ['a', 'b', 'c']) await client.query(ROW, [label]);
  await until(() => inbox.waiting.length === 3);
  const first = BigInt(JSON.parse(inbox.messages[0]?.value ?? '').source.lsn);
  inbox.waiting[1]?.();
  inbox.waiting[2]?.();
  await until(() => wal.lag === 1);
  await wal.stop(); // acknowledges everything it can
  expect(wal.position).toBeLessThanOrEqual(first);

  const again = new Inbox();
  const next = await startWal({ url, ...SOURCE, slot: 'held', deliver: again.deliver });
  await until(() => again.messages.length === 3);
  await next.stop();
  expect(labels(again)).toEqual(['a', 'b', 'c']);
});

test('once all messages are delivered the slot is acknowledged, and nothing is sent again', async ({
  url,
  client,
  inbox,
}) => {
  const wal = await startWal({ url, ...SOURCE, deliver: inbox.deliver });
  inbox.held = true;
  for (const label of ['a', 'b', 'c']) await client.query(ROW, [label]);
  await until(() => inbox.waiting.length === 3);
  for (const release of inbox.waiting.toReversed()) release();
  const last = BigInt(JSON.parse(inbox.messages[2]?.value ?? '').source.lsn);
  await until(async () => (await slotPosition(client)) > last);
  await wal.stop();

  const again = new Inbox();
  const next = await startWal({ url, ...SOURCE, deliver: again.deliver });
  await client.query(ROW, ['d']);
  await until(() => again.messages.length > 0);
  await next.stop();
  expect(labels(again)).toEqual(['d']);
});

test('a transaction that commits right after an acknowledged one is sent again', async ({
  url,
  client,
  inbox,
}) => {
  const other = new pg.Client(url);
  await other.connect();
  const wal = await startWal({ url, ...SOURCE, slot: 'adjacent', deliver: inbox.deliver });
  inbox.held = true;
  await client.query('begin');
  await other.query('begin');
  await client.query(ROW, ['first']);
  await other.query(ROW, ['second']);
  await Promise.all([client.query('commit'), other.query('commit')]);
  await until(() => inbox.waiting.length === 2);
  inbox.waiting[0]?.();
  await until(() => wal.lag === 1);
  await wal.stop();
  await other.end();

  const again = new Inbox();
  const next = await startWal({ url, ...SOURCE, slot: 'adjacent', deliver: again.deliver });
  await until(() => again.messages.length > 0);
  await next.stop();
  expect(labels(again)).toEqual(labels(inbox).slice(1));
});

test('an interrupted snapshot is repeated completely', async ({ url, client, inbox }) => {
  for (const label of ['a', 'b', 'c']) await client.query(ROW, [label]);
  const broken = startWal({
    url,
    ...SOURCE,
    slot: 'snapshot',
    deliver: (message) =>
      inbox.messages.push(message) < 2
        ? Promise.resolve({ delivered: Promise.resolve() })
        : Promise.reject(new Error('stopped')),
  });
  await expect(broken).rejects.toThrow('stopped');

  const again = new Inbox();
  const wal = await startWal({ url, ...SOURCE, slot: 'snapshot', deliver: again.deliver });
  await client.query(ROW, ['d']);
  await until(() => again.messages.length === 4);
  await wal.stop();
  expect(ops(again)).toEqual(['r', 'r', 'r', 'c']);
});

test('a broken connection is reestablished, and nothing is lost', async ({
  url,
  client,
  inbox,
}) => {
  const said: string[] = [];
  const wal = await startWal({
    url,
    ...SOURCE,
    slot: 'cut',
    deliver: inbox.deliver,
    say: (line) => said.push(line),
  });
  await client.query(ROW, ['before']);
  await until(() => inbox.messages.length === 1);
  await until(async () => {
    const { rows } = await client.query(
      `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'cut' and active`,
    );
    return rows.length > 0;
  });
  await client.query(ROW, ['after']);
  await until(() => labels(inbox).includes('after'));
  await wal.stop();

  expect(said).toEqual([expect.stringContaining('reconnecting')]);
});
