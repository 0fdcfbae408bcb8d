import { expect } from 'vitest';
import { deliver, envelope } from '../support/sender.ts';
import { until } from '../support/until.ts';
import { doneAndSent, test } from './test.ts';

const KEYS = ['x', 'y', 'z'];

test.for([
  ['before-commit', 'pair'],
  ['after-commit', 'pair'],
  ['after-claim', 'bounded'],
  ['in-handler', 'pair'],
  ['before-done', 'pair'],
  ['before-publish', 'pair'],
  ['in-handler', 'batched'],
  ['before-done', 'batched'],
] as const)(
  'killed %s, nothing of %s is lost or done twice',
  async ([failpoint, fn], { db, chaos }) => {
    const doomed = await chaos.launch({ MUSTER_FAILPOINT: failpoint }).serving();
    let url = doomed.url;
    const table = fn === 'pair' ? 'public.item' : `public.${fn}`;
    const delivered = Promise.all(
      KEYS.flatMap((k, i) => [
        deliver(() => url, envelope('c', 10 * i + 1, { id: `${k}a`, k, kind: 'a' }, table)),
        deliver(() => url, envelope('c', 10 * i + 2, { id: `${k}b`, k, kind: 'b' }, table)),
      ]),
    );
    expect(await doomed.exited).toEqual({ code: null, signal: 'SIGKILL' });
    const heir = await chaos.launch().serving();
    url = heir.url;
    await delivered;
    await doneAndSent(db, KEYS.length);

    expect(await db.query('select id, in_set from muster.member order by id')).toEqual(
      KEYS.flatMap((k) => ['a', 'b'].map((kind) => ({ id: k + kind, in_set: true }))),
    );
    const runs = KEYS.map((k) => `${fn}/${k}/1`);
    expect((await chaos.traces('effect')).map((each) => each.run)).toEqual(runs);
    expect([...new Set(chaos.sink.ids)].toSorted()).toEqual(runs.map((run) => `${run}/0`));
  },
);

test('an event whose answer was lost with its process is sent again with the same id', async ({
  db,
  chaos,
}) => {
  chaos.sink.answer = () => null;
  const doomed = await chaos.launch().serving();
  await deliver(() => doomed.url, envelope('c', 1, { id: 1, k: 'x', kind: 'a' }));
  await deliver(() => doomed.url, envelope('c', 2, { id: 2, k: 'x', kind: 'b' }));
  await until(() => chaos.sink.ids.length === 1);
  doomed.kill('SIGKILL');
  await doomed.exited;
  chaos.sink.answer = () => 202;
  await chaos.launch().serving();
  await doneAndSent(db, 1);
  expect(chaos.sink.ids).toEqual(['pair/x/1/0', 'pair/x/1/0']);
});
