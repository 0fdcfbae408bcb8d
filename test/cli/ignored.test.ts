import { expect, onTestFinished } from 'vitest';
import { ignored } from '../../src/doctor/database/ignored.ts';
import { defineFunction } from '../../src/function.ts';
import { stateOf } from '../doctor/examination.ts';
import { engineOn } from '../support/engine.ts';
import { event } from '../support/events.ts';
import { envelope, post } from '../support/sender.ts';
import { test } from '../support/test.ts';
import { until } from '../support/until.ts';
import { muster, musterServe } from './command.ts';

const orders = defineFunction({
  name: 'orders',
  parts: { paid: { event: 'com.shop.paid', key: 'subject' } },
  handle() {},
});

test('what a process ignores is logged once, counted, listed and forgotten', async ({ db }) => {
  const env = { DATABASE_URL: db.url };
  const serving = await musterServe({ ...env, FUNCTIONS: 'recordings' });
  onTestFinished(() => serving.kill('SIGKILL'));
  const headers = {
    'ce-specversion': '1.0',
    'ce-id': '1',
    'ce-source': '/shop',
    'ce-type': 'com.shop.paid',
  };
  for (let i = 0; i < 3; i++) {
    expect((await fetch(serving.url, { method: 'POST', headers })).status).toBe(204);
  }
  const row = envelope('c', 1, { id: 1 }).replace('"schema":"public"', '"schema":"datastore"');
  const signals = row.replace('"table":"item"', '"table":"signals"');
  expect(signals).toContain('"signals"');
  expect((await post(serving.url, signals)).status).toBe(204);

  const lines = () => serving.log.filter(({ msg }) => String(msg).includes('ignored'));
  expect(lines()).toMatchObject([
    {
      type: 'com.shop.paid',
      msg: 'events of this type are ignored: no function that is served here names it',
    },
    {
      table: 'datastore.signals',
      msg: 'changes of this table are ignored: no function that is served here names it; did you mean datastore.signal?',
    },
  ]);
  const metrics = await (await fetch(`${serving.url}/metrics`)).text();
  expect(metrics).toContain('muster_events_unwanted_type_total{type="com.shop.paid"} 3\n');
  expect(metrics).toContain('muster_events_unwanted_table_total{table="datastore.signals"} 1\n');

  await until(async () => (await db.query('select from muster.ignored')).length === 2);
  expect((await muster(env, ['ignored'])).stdout).toMatch(
    /^table\tdatastore\.signals\t1\tlast \S+Z\t\S+\tdid you mean datastore\.signal, which recordings names\?\nevent\tcom\.shop\.paid\t3\tlast \S+Z\t\/shop\n$/,
  );
  expect(await muster(env, ['sets'])).toMatchObject({
    stdout: '',
    stderr: 'no such set; events arrive that no function names: muster ignored\n',
  });
  expect(await muster(env, ['discard', 'ignored', 'com.shop.paid'])).toMatchObject({
    stdout: '1 count discarded\n',
  });
  expect(await muster(env, ['discard', 'ignored', 'com.shop.paid'])).toMatchObject({
    code: 1,
    stderr: 'muster: nothing named com.shop.paid was ignored; see: muster ignored\n',
  });
  await muster(env, ['discard', 'ignored']);
  expect(await muster(env, ['ignored'])).toMatchObject({
    stdout: '',
    stderr: 'nothing was ignored: functions name all that has arrived\n',
  });
  expect(await muster(env, ['sets'])).toMatchObject({ stderr: 'no such set\n' });
});

test('for the doctor, what is ignored is a problem if something similar is waited for', async ({
  db,
}) => {
  const context = await stateOf(db, [orders]);
  expect(await ignored.run(context)).toEqual([{ state: 'fine', message: 'none' }]);
  const engine = await engineOn(db, [orders]);
  for (const type of ['com.shop.payed', 'com.other']) {
    await engine.ingestor.ingest(event(type, {}, { source: '/shop' }));
  }
  await engine.stop();
  await db.query('update muster.ignored set count = 12034');
  const given = (await ignored.run(context)).map(({ message, ...rest }) => ({
    ...rest,
    message: message.replace(/\d+ s ago/, '… ago'),
  }));
  expect(given).toEqual([
    {
      state: 'problem',
      message:
        '12,034 events of the type com.shop.payed from /shop, the last … ago; did you mean com.shop.paid, which orders names? Nothing has arrived of com.shop.paid',
      remedy:
        'name com.shop.payed in functions/orders.ts, or com.shop.paid at the sender; send again what was ignored, and: muster discard ignored com.shop.payed',
    },
    {
      state: 'fine',
      message: '12,034 events of the type com.other from /shop, the last … ago',
    },
  ]);

  // the sender is corrected
  const corrected = await engineOn(db, [orders]);
  await corrected.ingestor.ingest(event('com.shop.paid', {}, { subject: 'x' }));
  await corrected.stop();
  expect((await ignored.run(context)).map(({ state }) => state)).toEqual(['fine', 'fine']);
  const remedy = given[0]!.remedy!.replace(/^.*: muster /, '');
  expect((await muster({ DATABASE_URL: db.url }, remedy.split(' '))).code).toBe(0);
  expect(await ignored.run(context)).toHaveLength(1);

  await db.query(
    `insert into muster.ignored (kind, name, count, functions)
     select 'event', 'type.' || n, n, '{}'::text[] from generate_series(1, 11) n
     union all select 'other', '', 5, '{}'`,
  );
  expect((await ignored.run(context)).at(-1)).toEqual({
    state: 'fine',
    message: '3 more: muster ignored',
  });
});
