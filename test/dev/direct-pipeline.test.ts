import { expect, onTestFinished } from 'vitest';
import { DirectPipeline, type DirectPipelineOptions } from '../../dev/demo/direct-pipeline.ts';
import { logEnd } from '../../dev/demo/numbers.ts';
import { dropSlot } from '../../src/local/dev-server/slot.ts';
import { startRawSink } from './support/raw-sink.ts';
import { test, until } from './support/source.ts';

/** Starts a pipeline to an address; it stops at the end of the test. */
async function startTo(
  address: string,
  { url, client }: Pick<DirectPipelineOptions, 'url' | 'client'>,
) {
  const said: string[] = [];
  const pipeline = await DirectPipeline.start({
    url,
    client,
    fn: { address, ready: Promise.resolve() },
    say: (line) => said.push(line),
  });
  onTestFinished(async () => {
    await pipeline.stop();
    await dropSlot(url, 'muster_demo');
  });
  return { pipeline, said };
}

const ROW = `insert into datastore.signal (id, recording, span)
             values ('0193a000-0000-7000-8000-000000000001', gen_random_uuid(), '[0,60)')`;

test('a position is reached when the changes before it are answered, also after a lost connection', async ({
  url,
  client,
}) => {
  const sink = await startRawSink();
  onTestFinished(() => sink.close());
  const { pipeline, said } = await startTo(sink.url, { url, client });
  const answers = [0, 1].map(() => Promise.withResolvers<{ status: number }>());
  sink.answers.push(...answers.map(({ promise }) => promise));
  await client.query(ROW);
  await until(() => sink.requests.length === 1);
  let isReached = false;
  const reaching = pipeline.caughtUp(await logEnd(client)).then(() => (isReached = true));
  expect(sink.requests[0]).toContain('{"id":"0193a000-0000-7000-8000-000000000001"}');
  expect([pipeline.lag, pipeline.delivered]).toEqual([1, 0]);

  await client.query('select pg_terminate_backend(active_pid) from pg_replication_slots');
  answers[0]!.resolve({ status: 204 });
  await until(() => sink.requests.length === 2); // sent again: it could not be acknowledged
  expect(said).toEqual([
    'the source: terminating connection due to administrator command; trying again',
  ]);
  expect([pipeline.lag, pipeline.delivered, isReached]).toEqual([1, 1, false]);
  answers[1]!.resolve({ status: 204 });
  await reaching;
  expect([pipeline.lag, pipeline.delivered]).toEqual([0, 2]);
});

test('a source that can not be read ends the start with the reason', async ({ url, client }) => {
  await client.query('drop table datastore.signal');
  const starting = startTo('http://127.0.0.1:1/', { url, client });
  await expect(starting).rejects.toThrow('datastore.signal does not exist in the source');
  const { rows } = await client.query(
    `select from pg_stat_activity where application_name = 'muster muster_demo'`,
  );
  expect(rows).toEqual([]);
});
