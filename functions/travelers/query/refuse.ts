import { HOUR, MINUTE, SECOND } from '../fold/length.ts';
import type { MetricsQuery } from './types.ts';
import type { Progress } from '../fold/progress.ts';

/** Thrown for an invalid query; `field` is the field of {@link MetricsQuery} to change. */
export class QueryError extends Error {
  override readonly name = 'QueryError';
  readonly field: keyof MetricsQuery;

  constructor(field: keyof MetricsQuery, message: string) {
    super(message);
    this.field = field;
  }
}

/** Maximum number of windows of a query: two years of minutes. */
const MAX_WINDOWS = 1_000_000;
/** Maximum number of steps that all windows consist of: seconds of work. */
const MAX_PARTS = 20_000_000;

/**
 * Throws a {@link QueryError} if the query is invalid. Otherwise returns the number of windows, and the length of the
 * longest buckets (µs) of which all windows consist.
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
    if (value <= 0) throw new QueryError(field as keyof MetricsQuery, 'must be greater than 0');
  }
  if (types.length === 0) throw new QueryError('types', 'must contain at least one type');
  const count = Math.floor((to - from) / stepMs);
  if (count < 1) throw new QueryError('to', 'must be at least one step after from');
  if (count > MAX_WINDOWS || count * (windowMs / stepMs) > MAX_PARTS) {
    throw new QueryError('stepMs', 'makes too many windows');
  }

  const all = { from, stepMs, windowMs } as const;
  const grain = [HOUR, MINUTE, SECOND].find((length) =>
    Object.values(all).every((value) => value % (length / 1000) === 0),
  )!;
  const oldest = (from + stepMs - windowMs) * 1000;
  const [kept, unit] =
    oldest < minutesFrom ? [HOUR, 'hour'] : oldest < secondsFrom ? [MINUTE, 'minute'] : [SECOND];
  if (grain < kept) {
    const field = (['stepMs', 'windowMs', 'from'] as const).find(
      (each) => all[each] % (kept / 1000) !== 0,
    )!;
    const since = new Date((kept === HOUR ? minutesFrom : secondsFrom) / 1000).toISOString();
    throw new QueryError(
      field,
      `must be a whole ${unit}: before ${since}, numbers are kept by the ${unit} only`,
    );
  }
  return { grain, count };
}
