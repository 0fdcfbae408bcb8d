import { expect } from 'vitest';
import type { Options } from '../../../functions/travelers/options.ts';
import { travelers } from '../../../functions/travelers/projection.ts';
import type { Sample } from '../../../functions/travelers/ingest/sample.ts';
import { feedOn } from '../../support/feed.ts';
import type { TestDatabase } from '../../support/test.ts';

/** Default options: partitions are never idle, and nothing is removed. */
export const OPTIONS: Options = {
  zone: 'UTC',
  lateness: 5_000_000,
  visitTimeout: 10_000_000,
  idleAfter: 3_600_000_000,
  aheadAtMost: 60_000_000,
  keepSeconds: 1e14,
  keepMinutes: 1e14,
};

/** A sensor that no query includes; its samples only advance time. */
const CLOCK = 2_000_000_000;

/** The projection on the test's database, fed by hand. */
export async function streamOn(db: TestDatabase, options: Options = OPTIONS, partitions = 1) {
  const feed = await feedOn(db, travelers(options), partitions);
  const settled = async () => {
    while (await feed.settle());
  };
  return {
    ...feed,
    async give(partition: number, samples: readonly Sample[]) {
      const applied = await feed.give(partition, samples.map(toRecord));
      expect(applied).toEqual({ kind: 'applied', parked: [] });
    },
    /** Folds everything that can be folded now. */
    async settled() {
      await settled(); // what the previous watermark allows
      await settled(); // what the watermark set by that turn allows
    },
    /** Advances time in all partitions, so that everything before `to` (µs) is final. */
    async finish(to: number) {
      const at = to + options.lateness + options.visitTimeout + 1;
      for (let partition = 0; partition < partitions; partition++) {
        await feed.give(partition, [clockRecord(at, partition)]);
      }
      await this.settled();
    },
  };
}

export type Stream = Awaited<ReturnType<typeof streamOn>>;

/** A sample that only advances time. */
export function clockRecord(at: number, partition: number) {
  const traveler = `00000000-0000-0000-0000-${String(partition).padStart(12, '0')}`;
  return toRecord({ sensor: CLOCK, traveler, type: 'vehicle', at, x: 0, y: 0 });
}

/** Formats a sample as in the topic. */
export function toRecord({ sensor, traveler, type, at, x, y }: Sample) {
  return {
    traveler_id: traveler,
    traveler_type: type,
    position: [x, y],
    timestamp: toTimestamp(at),
    sensor_id: sensor,
  };
}

/** Formats a time without an offset, with microseconds. */
function toTimestamp(at: number): string {
  const second = Math.floor(at / 1e6);
  const text = new Date(second * 1000).toISOString().slice(0, 19);
  return `${text}.${String(at - second * 1e6).padStart(6, '0')}`;
}

/** Resets the tables to their state after the migration; positions stay. */
export async function empty(db: TestDatabase): Promise<void> {
  await db.query(
    'truncate travelers.partition, travelers.staged, travelers.sensor, travelers.bucket, travelers.late',
  );
  await db.query('delete from travelers.progress');
  await db.query('insert into travelers.progress default values');
}
