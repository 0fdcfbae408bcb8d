import { expect } from 'vitest';
import { until } from '../support/until.ts';
import { post, test } from './test.ts';

const CANARY = 'canary-7f3a';

test('no row, payload or token appears in logs, traces or metrics, even if something fails', async ({
  db,
  traced,
}) => {
  const { collector } = traced;
  const pod = await traced.launch({ LOG_LEVEL: 'trace' });
  const token = { authorization: `Bearer ${CANARY}` };
  const part = (id: number, k: string, kind: string) =>
    post(pod.url, { id, k, kind, note: CANARY, more: CANARY }, token);
  for (const [i, key] of ['done', 'fails once', 'quotes', 'refused'].entries()) {
    await part(2 * i, key, 'a');
    await part(2 * i + 1, key, 'b');
  }
  // parked, because Postgres rejects the U+0000 in its key
  await post(pod.url, { id: 90, k: `\0${CANARY}`, kind: 'a', note: CANARY }, token);
  const headers = { 'content-type': 'application/json', ...token };
  await fetch(pod.url, { method: 'POST', headers, body: `{"broken": "${CANARY}` });
  await post(pod.url, { id: 91, k: CANARY, kind: 'a' }, { ...token, 'ce-subject': CANARY });
  await until(async () => {
    const runs = await db.query<{ state: string }>(
      `select state from muster.run where state in ('done', 'failed') or attempt > 1`,
    );
    return runs.length === 4;
  });
  await db.query(`alter table muster.barrier rename to "${CANARY}"`); // causes an unexpected error
  expect(await part(92, 'x', 'a')).toBe(503);
  await db.query(`alter table muster."${CANARY}" rename to barrier`);
  expect(await traced.end(pod)).toBe(0);

  const lines = pod.log.map((line) => line['msg']);
  expect(lines.filter((line) => line === 'handling').length).toBeGreaterThanOrEqual(5);
  expect(lines).toContain('the attempt failed');
  expect(lines).toContain('the run failed permanently');
  const failure = pod.log.find(({ msg }) => msg === 'the attempt failed');
  expect(failure!['at']).toContainEqual(expect.stringContaining('test/telemetry/serve.ts:17:'));
  expect(lines).toContain('refused');
  expect(collector.spans.length).toBeGreaterThan(20);
  expect(collector.metrics.length).toBeGreaterThan(5);

  expect(pod.stderr).not.toContain(CANARY);
  const exported = Buffer.concat(collector.bodies).toString('latin1');
  expect(exported).not.toContain(CANARY);
  expect(exported).not.toContain('fails once'); // a set's key
  const line = pod.log.find(({ msg, key }) => msg === 'handling' && key === 'done');
  expect(line).toMatchObject({
    function: 'pair',
    handler: { attempts: 1, row: '(object)', list: '(object)', note: 'as short as this' },
  });
});
