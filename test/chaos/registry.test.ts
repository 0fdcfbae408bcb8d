import { expect } from 'vitest';
import { framed } from '../schemas/bytes.ts';
import { avroChange, KIND_SCHEMA } from '../schemas/change.ts';
import { startRegistry } from '../schemas/server.ts';
import { deliver, type Try } from '../support/sender.ts';
import { until } from '../support/until.ts';
import { doneAndSent, test } from './test.ts';

/** Both rows of a set, in Avro. */
const pairOf = (schema: number, k: string, id: number) =>
  ['a', 'b'].map((kind, i) => framed(schema, avroChange(BigInt(id + i), k, kind)));

/** Resolves when the registry is the reason of a refusal. */
const waits = (tries: readonly Try[]) =>
  until(() => tries.some((each) => each.reason === 'schema-registry'));

test('while the schema registry is away and a process is killed, events wait; then each set runs once', async ({
  db,
  chaos,
}) => {
  const registry = await startRegistry({
    '/schemas/ids/7': KIND_SCHEMA,
    '/schemas/ids/8': KIND_SCHEMA,
  });
  const settings = { SCHEMA_REGISTRY_URL: registry.url };
  let serving = await chaos.launch(settings).serving();
  const send = (bodies: Buffer[], tries: Try[]) =>
    Promise.all(bodies.map((body) => deliver(() => serving.url, body, tries)));

  const known: Try[] = [];
  await send(pairOf(7, 'before', 10), known);
  await registry.stop();
  await send(pairOf(7, 'known', 20), known); // by a schema that the process has
  expect(new Set(known.map(({ status }) => status))).toEqual(new Set([204]));
  const tries: Try[] = [];
  const delivered = send(pairOf(8, 'during', 30), tries);
  await waits(tries);
  serving.kill('SIGKILL');
  await serving.exited;
  serving = await chaos.launch(settings).serving();
  const cold: Try[] = [];
  const later = send(pairOf(7, 'after', 40), cold);
  await waits(cold);
  await registry.start();
  await Promise.all([delivered, later]);

  await doneAndSent(db, 4);
  expect((await chaos.traces('effect')).map(({ run }) => run)).toEqual(
    ['after', 'before', 'during', 'known'].map((k) => `pair/${k}/1`),
  );
  expect(await db.query('select from muster.parked')).toEqual([]);
});
