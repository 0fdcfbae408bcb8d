import { expect } from 'vitest';
import { defineFunction, TerminalError } from '../../src/function.ts';
import { change, read } from '../support/changes.ts';
import { engineOn, type TestEngine } from '../support/engine.ts';
import { sinkServer } from '../support/sink.ts';
import { test as base } from '../support/test.ts';
import { until } from '../support/until.ts';
import { muster as run, type Result } from './command.ts';

interface Cli {
  readonly engine: TestEngine;
  readonly muster: (...args: string[]) => Promise<Result>;
  /** Lets the run of the set `running` end. */
  readonly open: () => void;
}

/** Provides one set in each state: the function runs one set at a time, and `running` occupies the only slot. */
const test = base.extend<{ cli: Cli }>({
  cli: async ({ db }, use) => {
    const gate = Promise.withResolvers<void>();
    let refusing = true;
    const orders = defineFunction({
      name: 'orders',
      parts: {
        order: { table: 'public.item', key: 'k', where: { kind: 'order' } },
        payment: { table: 'public.item', key: 'k', where: { kind: 'payment', state: 'paid' } },
      },
      overdueAfter: '1 hour',
      concurrency: 1,
      async handle({ keyText }) {
        if (keyText === 'running') await gate.promise;
        if (keyText === 'failed' && refusing) {
          refusing = false;
          throw new TerminalError('no stock');
        }
        return [{ type: 'order.fulfilled' }];
      },
    });
    const sink = await sinkServer();
    const engine = await engineOn(db, [orders], { K_SINK: sink.url });
    let lsn = 0;
    const ingest = (k: string, kind: string, state = 'paid') =>
      engine.ingestor.ingest(change('c', ++lsn, { id: `${k}-${kind}`, k, kind, state }));
    const state = (k: string) =>
      until(
        async () =>
          (await db.query('select state from muster.run where key = $1', [k]))[0]?.['state'],
      );

    // `history` is read by a snapshot before the source begins to stream
    await engine.ingestor.ingest(
      read(10, { id: 'old-order', k: 'history', kind: 'order', state: 'paid' }),
    );
    await engine.ingestor.ingest(
      read(10, { id: 'old-payment', k: 'history', kind: 'payment', state: 'paid' }),
    );

    for (const k of ['done', 'failed', 'running', 'complete']) {
      await ingest(k, 'order');
      await ingest(k, 'payment');
      if (k !== 'complete') await until(async () => (await state(k)) === k);
    }
    await engine.ingestor.ingest(
      change('u', ++lsn, { id: 'waiting-order', k: 'waiting', kind: 'order', state: 'new' }),
    );
    await engine.ingestor.ingest(
      change('c', ++lsn, { id: 'waiting-payment', k: 'waiting', kind: 'payment', state: 'open' }),
    );
    await ingest('late', 'order');
    await db.query(
      `update muster.member set since = since - interval '1 day' where key_hash = muster.key_hash('late')`,
    );
    await db.query(
      `update muster.deadline set due_at = now() where muster.key_hash('late') = any (keys)`,
    );
    await until(async () => (await db.query('select from muster.overdue')).length);
    await until(
      async () =>
        (await db.query('select from muster.outbox where sent_at is not null')).length === 3,
    );

    await use({
      engine,
      open: gate.resolve,
      muster: (...args) => run({ DATABASE_URL: db.url }, args),
    });
    gate.resolve();
    await engine.stop();
  },
});

const TIME = /\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)/g;

test('explain shows the state of each set and the reasons as text', async ({ cli }) => {
  const said: Record<string, string> = {};
  for (const key of ['done', 'failed', 'running', 'complete', 'waiting', 'late', 'history']) {
    const { code, stdout, stderr } = await cli.muster('explain', 'orders', key);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    said[key] = stdout.replaceAll(TIME, 'TIME').replaceAll(/overdue\/[\d.]+/g, 'overdue/SECONDS');
  }
  expect(said).toMatchInlineSnapshot(`
    {
      "complete": "orders complete: complete
      order: present
        row complete-order at LSN 7, since TIME
      payment: present
        row complete-payment at LSN 8, since TIME
      run: revision 1, ready, 0 attempts
        due TIME
    ",
      "done": "orders done: done
      order: present
        row done-order at LSN 1, since TIME
      payment: present
        row done-payment at LSN 2, since TIME
      run: revision 1, done, 1 attempt
        started TIME
        ended TIME
      event order.fulfilled orders/done/1/0: sent TIME
    ",
      "failed": "orders failed: failed
      order: present
        row failed-order at LSN 3, since TIME
      payment: present
        row failed-payment at LSN 4, since TIME
      run: revision 1, failed, 1 attempt
        started TIME
        ended TIME
        last error: TerminalError: no stock
      event muster.set.failed orders/failed/1/failed/1: sent TIME
    ",
      "history": "orders history: done
      order: present
        row old-order read by a snapshot at TIME, since TIME
      payment: present
        row old-payment read by a snapshot at TIME, since TIME
      run: revision 0, done, 0 attempts
        complete since the initial snapshot, never run
        ended TIME
    ",
      "late": "orders late: waiting
      order: present
        row late-order at LSN 11, since TIME
      payment: missing
      deadline TIME, reported as overdue
      event muster.set.overdue orders/late/overdue/SECONDS: sent TIME
    ",
      "running": "orders running: running
      order: present
        row running-order at LSN 5, since TIME
      payment: present
        row running-payment at LSN 6, since TIME
      run: revision 1, running, 1 attempt
        started TIME
        leased until TIME; if its worker is dead, another one takes over then
    ",
      "waiting": "orders waiting: waiting
      order: present
        row waiting-order at LSN 9, since TIME
      payment: missing
        row waiting-payment at LSN 10 refused: state is "open", not "paid"
      deadline TIME
    ",
    }
  `);
});

test('explain of an unknown key describes the form of keys: exit code 1', async ({ cli }) => {
  expect(await cli.muster('explain', 'orders', 'nowhere')).toEqual({
    code: 1,
    stdout: 'orders nowhere: unknown\n  order: missing\n  payment: missing\n',
    stderr: 'muster: no row with this key has arrived; the key of orders is k\n',
  });
  expect(await cli.muster('explain', 'order', 'nowhere')).toEqual({
    code: 1,
    stdout: '',
    stderr: "muster: function 'order' is not registered (registered: orders)\n",
  });
});

test('explain --json prints the same as JSON', async ({ cli }) => {
  const { code, stdout } = await cli.muster('explain', 'orders', 'waiting', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    function: 'orders',
    key: 'waiting',
    status: 'waiting',
    missing: ['payment'],
    parts: [
      {
        part: 'order',
        have: 1,
        need: 1,
        rows: expect.arrayContaining([
          expect.objectContaining({ id: 'waiting-order', state: 'present' }),
        ]),
      },
      {
        part: 'payment',
        have: 0,
        need: 1,
        rows: expect.arrayContaining([
          expect.objectContaining({
            id: 'waiting-payment',
            state: 'refused',
            refusedBy: { column: 'state', wanted: 'paid', got: 'open' },
          }),
        ]),
      },
    ],
    overdue: { reported: false },
    run: null,
    events: [],
  });
  const unknown = await cli.muster('explain', 'orders', 'nowhere', '--json');
  expect(unknown.code).toBe(1);
  expect(JSON.parse(unknown.stdout)).toMatchObject({ status: 'unknown', run: null });
});

test('sets lists sets with what is missing and since when, oldest first and done ones last', async ({
  cli,
  db,
}) => {
  const list = async (...args: string[]) => {
    const { code, stdout } = await cli.muster('sets', ...args);
    expect(code).toBe(0);
    return stdout.replaceAll(TIME, 'TIME').split('\n').slice(0, -1);
  };
  // the failed set has been waiting for longer than any other
  await db.query(
    `update muster.run set finished_at = now() - interval '2 days' where key = 'failed'`,
  );
  const failed = 'orders\tfailed\tfailed\tsince TIME\tTerminalError: no stock';
  const late = 'orders\tlate\toverdue\tsince TIME\tmissing: payment';
  expect(await list('orders')).toEqual([
    failed,
    late,
    'orders\trunning\trunning\tsince TIME',
    'orders\tcomplete\tcomplete\tsince TIME',
    'orders\twaiting\twaiting\tsince TIME\tmissing: payment',
    'orders\thistory\tdone\tsince TIME',
    'orders\tdone\tdone\tsince TIME',
  ]);
  expect(await list('--failed')).toEqual([failed]);
  expect(await list('--overdue')).toEqual([late]);
  expect(await list('orders', '--waiting')).toEqual([
    late,
    'orders\twaiting\twaiting\tsince TIME\tmissing: payment',
  ]);
  expect(await cli.muster('sets', '--waiting', '--limit', '1')).toMatchObject({
    stdout: expect.stringMatching(/^orders\tlate\t.*\n$/),
    stderr: 'there may be more: --limit 2\n',
  });
  expect(await cli.muster('sets', 'nothing')).toMatchObject({
    code: 1,
    stderr: "muster: function 'nothing' is not registered (registered: orders)\n",
  });
  expect((await cli.muster('sets', '--help')).stdout.replaceAll(/\s+/g, ' ')).toContain(
    'oldest first, done sets last',
  );
});

test('sets --json prints the same as JSON', async ({ cli }) => {
  const list = async (...args: string[]) =>
    (await cli.muster('sets', '--json', ...args)).stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(await list('--overdue')).toEqual([
    {
      function: 'orders',
      key: 'late',
      status: 'waiting',
      overdue: true,
      since: expect.stringMatching(TIME),
      overdueSince: expect.stringMatching(TIME),
      missing: [{ part: 'payment', have: 0, need: 1 }],
      attempt: null,
      error: null,
    },
  ]);
  expect(await list('--failed')).toEqual([
    {
      function: 'orders',
      key: 'failed',
      status: 'failed',
      overdue: false,
      since: expect.stringMatching(TIME),
      overdueSince: null,
      missing: [],
      attempt: 1,
      error: 'TerminalError: no stock',
    },
  ]);
});

test('retry runs one or all failed sets again, and reports if there is none', async ({
  cli,
  db,
}) => {
  expect(await cli.muster('retry', 'orders', 'done')).toEqual({
    code: 1,
    stdout: '',
    stderr: "muster: orders done has not failed; see: muster explain orders 'done'\n",
  });
  expect(await cli.muster('retry', 'orders', 'failed')).toEqual({
    code: 0,
    stdout: '1 set is ready to run again\n',
    stderr: '',
  });
  cli.open();
  await until(
    async () =>
      (await db.query(`select from muster.run where key = 'failed' and state = 'done'`)).length,
  );
  expect(await cli.muster('retry', 'orders', '--all')).toEqual({
    code: 0,
    stdout: '0 sets are ready to run again\n',
    stderr: '',
  });
});
