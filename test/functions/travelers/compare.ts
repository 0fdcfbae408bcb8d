import { expect } from 'vitest';
import { metrics } from '../../../functions/travelers/query/metrics.ts';
import {
  type Metrics,
  type MetricsQuery,
  type Series,
  type Speed,
} from '../../../functions/travelers/query/types.ts';
import { StagedSamples } from '../../../functions/travelers/fold/staged.ts';
import type { Sample } from '../../../functions/travelers/ingest/sample.ts';
import type { Tx } from '../../../src/function.ts';
import type { TestDatabase } from '../../support/test.ts';
import { Oracle, type Truth } from './oracle.ts';

/** Queries in one snapshot, as the console does. */
export async function ask<T>({ pool }: TestDatabase, question: (tx: Tx) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  const tx: Tx = {
    async query<R extends object>(text: string, values: readonly unknown[] = []) {
      const { rows, rowCount } = await client.query(text, [...values]);
      return { rows: rows as R[], rowCount };
    },
  };
  try {
    await client.query('begin isolation level repeatable read read only');
    return await question(tx);
  } finally {
    await client.query('rollback');
    client.release();
  }
}

/**
 * Compares the answer to a query with the oracle's for these samples: counts and extremes exactly,
 * averages within 1e-9, percentiles within the histogram's error. `now` in microseconds is the time by which
 * visits must have ended to be over.
 */
export async function expectTruth(
  db: TestDatabase,
  query: MetricsQuery,
  samples: readonly Sample[],
  timeout: number,
  now = Infinity,
  staged = new StagedSamples(),
): Promise<Metrics> {
  // a sensor has its own series once a sample of it is folded
  const known = query.groupBy.sensor
    ? (await db.query<{ id: number }>('select id from travelers.sensor order by id')).map(
        ({ id }) => id,
      )
    : [...new Set(samples.map(({ sensor }) => sensor))];
  const truth = new Oracle(samples, timeout).answer(query, known, now);
  const answer = await ask(db, (tx) => metrics(tx, query, staged));
  expect(answer.steps.map(({ start, end }) => ({ start, end }))).toEqual(
    truth.map(({ start, end }) => ({ start, end })),
  );
  for (const [i, { start, end, series }] of answer.steps.entries()) {
    const where = { start, end, query };
    expect({ ...where, series: series.map(exactOf) }).toEqual({
      ...where,
      series: truth[i]!.series.map(exactOf),
    });
    for (const [j, { speed }] of series.entries()) {
      const right = truth[i]!.series[j]!.speed;
      if (speed !== null && right !== null) {
        expect({ ...where, off: off(speed, right) }).toEqual({ ...where, off: [] });
      }
    }
  }
  return answer;
}

/** The figures that must be exact to the last bit. */
function exactOf({ speed, ...counts }: Series | (Truth & Pick<Series, 'sensor' | 'type'>)) {
  return { ...counts, slowest: speed?.min ?? null, fastest: speed?.max ?? null };
}

/** Returns the speeds whose error exceeds the bound. */
function off(speed: Speed, right: Speed): string[] {
  const ranks = (['p50', 'p85', 'p95'] as const).filter(
    (rank) => Math.abs(speed[rank] - right[rank]) > Math.max(1 / 16, right[rank] / 64),
  );
  return Math.abs(speed.average - right.average) > 1e-9 ? ['average', ...ranks] : ranks;
}
