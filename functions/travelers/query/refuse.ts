import { HOUR, MINUTE, SECOND } from '../fold/length.ts';
import type { MetricsQuery } from './types.ts';
import type { Progress } from '../fold/progress.ts';

/** The question can't be answered; `field` is the one of {@link MetricsQuery} to change. */
export class QueryError extends Error {
  override readonly name = 'QueryError';
  readonly field: keyof MetricsQuery;

  constructor(field: keyof MetricsQuery, message: string) {
    super(message);
    this.field = field;
  }
}

/** Windows in one answer, two years of minutes; and the steps they are made of, seconds of work. */
const MOST_WINDOWS = 1_000_000;
const MOST_PARTS = 20_000_000;

/**
 * Throws a {@link QueryError} if the question can't be answered. Otherwise gives the number of steps and
 * the longest buckets (µs) that all windows are made of.
 */
export function refuse(
  { from, to, stepMs, windowMs, types }: MetricsQuery,
  { secondsFrom, minutesFrom }: Progress,
): { grain: number; count: number } {
  for (const [field, value] of Object.entries({ from, to, stepMs, windowMs })) {
    if (!Number.isInteger(value / 1000)) {
      throw new QueryError(field as keyof MetricsQuery, 'must be whole seconds');
    }
  }
  for (const [field, value] of Object.entries({ stepMs, windowMs })) {
    if (value <= 0) throw new QueryError(field as keyof MetricsQuery, 'must be above 0');
  }
  if (types.length === 0) throw new QueryError('types', 'must name a type');
  const count = Math.floor((to - from) / stepMs);
  if (count < 1) throw new QueryError('to', 'must be at least one step after from');
  if (count > MOST_WINDOWS || count * (windowMs / stepMs) > MOST_PARTS) {
    throw new QueryError('stepMs', 'makes too many windows');
  }

  const all = { from, stepMs, windowMs } as const;
  const grain = [HOUR, MINUTE, SECOND].find((length) =>
    Object.values(all).every((value) => value % (length / 1000) === 0),
  )!;
  const oldest = (from + stepMs - windowMs) * 1000;
  const [kept, word] =
    oldest < minutesFrom ? [HOUR, 'hour'] : oldest < secondsFrom ? [MINUTE, 'minute'] : [SECOND];
  if (grain < kept) {
    const field = (['stepMs', 'windowMs', 'from'] as const).find(
      (each) => all[each] % (kept / 1000) !== 0,
    )!;
    const since = new Date((kept === HOUR ? minutesFrom : secondsFrom) / 1000).toISOString();
    throw new QueryError(
      field,
      `must be a whole ${word}: before ${since} only whole ${word}s are kept`,
    );
  }
  return { grain, count };
}
