/**
 * Computes the numbers of windows directly from their definitions and all samples at once, regardless of
 * run time: the reference for the fold, its buckets and its histograms.
 */
import type { MetricsQuery, Speed } from '../../../functions/travelers/query/types.ts';
import type { Sample, TravelerType } from '../../../functions/travelers/ingest/sample.ts';

interface Segment {
  readonly from: number;
  readonly to: number;
  readonly path: number;
  readonly speed: number;
}

interface Visit {
  readonly first: number;
  readonly last: number;
  readonly segments: readonly Segment[];
}

/** The numbers of a window; `speed` is exact, including percentiles. */
export interface Truth {
  readonly alive: boolean;
  readonly present: number;
  readonly entered: number;
  readonly left: number;
  readonly speed: Speed | null;
}

export class Oracle {
  readonly #samples: readonly Sample[];
  readonly #visits = new Map<string, readonly Visit[]>();
  readonly #timeout: number;

  /** The visit timeout in microseconds. */
  constructor(samples: readonly Sample[], timeout: number) {
    this.#samples = samples;
    this.#timeout = timeout;
    const byTraveler = Map.groupBy(
      samples,
      ({ sensor, type, traveler }) => `${sensor} ${type} ${traveler.toLowerCase()}`,
    );
    for (const [key, own] of byTraveler) {
      const [sensor, type] = key.split(' ');
      const series = `${sensor} ${type}`;
      this.#visits.set(series, [...(this.#visits.get(series) ?? []), ...this.#visitsOf(own)]);
    }
  }

  /** One window [start, end) in milliseconds, summed over sensors and types; `now` (µs) decides which visits are over. */
  window(
    sensors: readonly number[],
    types: readonly TravelerType[],
    start: number,
    end: number,
    now = Infinity,
  ): Truth {
    const [from, to] = [start * 1000, end * 1000];
    const visits = sensors.flatMap((sensor) =>
      types.flatMap((type) => this.#visits.get(`${sensor} ${type}`) ?? []),
    );
    const isIn = (time: number) => time >= from && time < to;
    return {
      alive: this.#samples.some(({ sensor, at }) => sensors.includes(sensor) && isIn(at)),
      present: visits.filter(({ first, last }) => first < to && last >= from).length,
      entered: visits.filter(({ first }) => isIn(first)).length,
      left: visits.filter(({ last }) => isIn(last) && now - last > this.#timeout).length,
      speed: speedOf(
        visits.flatMap(({ segments }) => segments),
        from,
        to,
      ),
    };
  }

  /** All windows of a query, as `metrics` returns them. */
  answer(query: MetricsQuery, known: readonly number[], now = Infinity) {
    const { from, to, stepMs, windowMs, groupBy, types } = query;
    const sensors = query.sensors === 'all' ? known : query.sensors;
    const rising = sensors.toSorted((a, b) => a - b);
    const sensorGroups = groupBy.sensor ? rising.map((each) => [each]) : [rising];
    const typeGroups = groupBy.type ? types.map((each) => [each]) : [types];
    const count = Math.floor((to - from) / stepMs);
    return Array.from({ length: count }, (_, step) => {
      const end = from + (step + 1) * stepMs;
      const start = end - windowMs;
      const series = sensorGroups.flatMap((some) =>
        typeGroups.map((few) => ({
          sensor: groupBy.sensor ? some[0]! : null,
          type: groupBy.type ? few[0]! : null,
          ...this.window(some, few, start, end, now),
        })),
      );
      return { start, end, series };
    });
  }

  #visitsOf(samples: readonly Sample[]): Visit[] {
    const sorted = samples.toSorted((a, b) => a.at - b.at || a.x - b.x || a.y - b.y);
    const once = sorted.filter((sample, i) => sample.at !== sorted[i - 1]?.at);
    const visits: Sample[][] = [];
    for (const [i, sample] of once.entries()) {
      if (i === 0 || sample.at - once[i - 1]!.at > this.#timeout) visits.push([]);
      visits.at(-1)!.push(sample);
    }
    return visits.map((visit) => ({
      first: visit[0]!.at,
      last: visit.at(-1)!.at,
      segments: visit.slice(1).map((sample, i) => segmentOf(visit[i]!, sample)),
    }));
  }
}

function segmentOf(a: Sample, b: Sample): Segment {
  const path = Math.sqrt((b.x - a.x) ** 2 + (b.y - a.y) ** 2);
  return { from: a.at, to: b.at, path, speed: path / ((b.at - a.at) / 1e6) };
}

function speedOf(all: readonly Segment[], from: number, to: number): Speed | null {
  const parts = all
    .map((segment) => ({
      ...segment,
      micros: Math.min(segment.to, to) - Math.max(segment.from, from),
    }))
    .filter(({ micros }) => micros > 0);
  if (parts.length === 0) return null;
  const speeds = parts.map(({ speed }) => speed);
  const path = parts.reduce((sum, each) => sum + each.speed * (each.micros / 1e6), 0);
  const moved = parts.reduce((sum, { micros }) => sum + micros, 0);
  const rising = parts.toSorted((a, b) => a.speed - b.speed);
  const percentile = (percent: number) => {
    let below = 0;
    return rising.find(({ micros }) => (below += micros) * 100 >= moved * percent)!.speed;
  };
  return {
    min: Math.min(...speeds),
    average: path / (moved / 1e6),
    max: Math.max(...speeds),
    p50: percentile(50),
    p85: percentile(85),
    p95: percentile(95),
  };
}
