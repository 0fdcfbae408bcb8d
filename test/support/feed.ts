import { onTestFinished } from 'vitest';
import type { ProjectionDefinition, TopicRecord } from '../../src/function.ts';
import { settleProjection } from '../../src/process/settle-projection.ts';
import { Chunks, type Applied, type RecordChunk } from '../../src/state/projections/chunks.ts';
import type { Database } from '../../src/state/database/database.ts';
import { Positions } from '../../src/state/projections/positions.ts';
import { registerProjection } from '../../src/state/registration/register-projection.ts';
import { databaseOn } from './worker.ts';
import type { TestDatabase } from './test.ts';

/** A projection that is fed by hand, without Kafka. */
export interface Feed {
  readonly id: number;
  readonly database: Database;
  readonly positions: Positions;
  /** Applies values as the next records of a partition, in one chunk. */
  give(partition: number, values: readonly unknown[]): Promise<Applied>;
  /** Applies a chunk at any position. */
  apply(chunk: RecordChunk): Promise<Applied>;
  settle(): Promise<boolean>;
}

/** Creates a feed on the test's database; its connections are closed when the test ends. */
export async function feedOn(
  db: Pick<TestDatabase, 'url'>,
  definition: ProjectionDefinition,
  partitions = 1,
): Promise<Feed> {
  const database = databaseOn(db, 4);
  onTestFinished(() => database.close());
  const id = await registerProjection(database, definition);
  const positions = new Positions(database, id, definition.topic);
  const begun = await positions.begin(
    Array.from({ length: partitions }, (_, partition) => ({ partition, low: 0, high: 0 })),
  );
  const next = new Map(begun.map((each) => [each.partition, each.next]));
  const chunks = new Chunks(database, id, definition);
  const quiet = { info() {}, warn() {}, error() {} };
  return {
    id,
    database,
    positions,
    async give(partition, values) {
      const chunk = chunkOf(next.get(partition)!, values, { topic: definition.topic, partition });
      const applied = await chunks.apply(chunk);
      if (applied.kind === 'applied') next.set(partition, chunk.next);
      return applied;
    },
    apply: (chunk) => chunks.apply(chunk),
    settle: () => settleProjection(database, id, definition, quiet),
  };
}

/** Returns a chunk of records with these values (as JSON, or unchanged bytes), starting at an offset. */
export function chunkOf(
  from: number,
  values: readonly unknown[],
  { topic = 'numbers', partition = 0 } = {},
): RecordChunk {
  const next = from + values.length;
  const records = values.map((value, i) => recordOf(from + i, value));
  return { topic, partition, from, next, end: next, records };
}

export function recordOf(offset: number, value: unknown): TopicRecord {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
  return { offset, timestamp: 1_000 + offset, key: null, value: bytes, headers: {} };
}
