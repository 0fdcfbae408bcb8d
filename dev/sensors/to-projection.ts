import { readConfig } from '../../src/config/config.ts';
import type { Log } from '../../src/function.ts';
import { isProjection, loadFunctions } from '../../src/definitions/load-functions.ts';
import { Loop } from '../../src/lib/loop.ts';
import { startProjections } from '../../src/process/projections.ts';
import { Chunks } from '../../src/state/projections/chunks.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { Positions } from '../../src/state/projections/positions.ts';
import type { Destination } from './destination.ts';

/** How long the records of a partition are collected into a chunk, as a consumer would do. */
const CHUNK_MS = 250;
const PARTITIONS = 4;
const LOOK_EVERY_MS = 1_000;

/**
 * Feeds the function `travelers` in this process, without Kafka: the partitions are simulated and continue
 * at the offsets that the function has stored.
 */
export async function toProjection(url: string, log: Log): Promise<Destination> {
  await migrate(url, ['travelers']);
  const definitions = (await loadFunctions(['travelers'])).filter(isProjection);
  const config = readConfig({ ...process.env, DATABASE_URL: url, FUNCTIONS: 'travelers' });
  const projections = await startProjections(config, definitions, log);
  const { database, served } = projections;
  const { id, definition } = served[0]!;
  const { topic } = definition;
  const positions = new Positions(database, id, topic);
  const chunks = new Chunks(database, id, definition);
  const numbers = Array.from({ length: PARTITIONS }, (_, partition) => partition);
  const begun = await positions.begin(numbers.map((partition) => ({ partition, low: 0, high: 0 })));
  const partitions = numbers.map((partition) => ({
    partition,
    next: begun.find((each) => each.partition === partition)!.next,
    waiting: [] as string[],
  }));
  let given = 0;
  let flushedAt = performance.now();

  /** Sends each partition's records as one chunk, because chunks must follow one another. */
  const flush = async () => {
    flushedAt = performance.now();
    for (const each of partitions) {
      const values = each.waiting.splice(0);
      if (values.length === 0) continue;
      const { partition, next: from } = each;
      const next = from + values.length;
      const timestamp = Date.now();
      const records = values.map((value, i) => ({
        offset: from + i,
        timestamp,
        key: null,
        value: Buffer.from(value),
        headers: {},
      }));
      const applied = await chunks.apply({ topic, partition, from, next, end: next, records });
      if (applied.kind === 'moved') throw new Error('another process feeds this projection, too');
      each.next = next;
    }
  };
  // As a consumer does, to mark a partition without records as idle.
  const looking = new Loop(
    LOOK_EVERY_MS,
    async () => {
      await positions.report(
        partitions.map(({ partition, next }) => ({ partition, low: 0, high: next })),
      );
    },
    () => {}, // if this fails, the partition is just not marked as idle
  );

  return {
    async send(movements) {
      for (const { value } of movements) partitions[given++ % PARTITIONS]!.waiting.push(value);
      if (performance.now() - flushedAt >= CHUNK_MS) await flush();
    },
    async end() {
      await flush();
      await looking.stop();
      await projections.stop();
    },
  };
}
