/** Settings of the function. Durations are in microseconds, like the times of samples. */
export interface Options {
  /** Time zone of timestamps without an offset. */
  readonly zone: string;
  /** Maximum age of a sample, relative to the time that its partition has reached; an older one is late. */
  readonly lateness: number;
  /** Maximum pause within a visit; a longer one ends it. */
  readonly visitTimeout: number;
  /** Time without samples after which a partition that has been read to its end does not hold back the others. */
  readonly idleAfter: number;
  /** Maximum time by which a sample may be in the future. One beyond it is parked: it would make later ones late. */
  readonly aheadAtMost: number;
  /** Age up to which buckets of a second are kept; older ones are kept by the minute. */
  readonly keepSeconds: number;
  /** Age up to which buckets of a minute are kept; older ones are kept by the hour. */
  readonly keepMinutes: number;
}

const SECOND = 1e6;
const HOUR = 3_600e6;
const DAY = 86_400e6;

/** The option, the default and the unit of each variable. */
const DURATIONS = {
  TRAVELERS_LATENESS_SECONDS: ['lateness', 5, SECOND],
  TRAVELERS_VISIT_TIMEOUT_SECONDS: ['visitTimeout', 10, SECOND],
  TRAVELERS_IDLE_SECONDS: ['idleAfter', 10, SECOND],
  TRAVELERS_AHEAD_SECONDS: ['aheadAtMost', 60, SECOND],
  TRAVELERS_SECOND_BUCKETS_HOURS: ['keepSeconds', 1, HOUR],
  TRAVELERS_MINUTE_BUCKETS_DAYS: ['keepMinutes', 35, DAY],
} as const;

/** Reads `TRAVELERS_ZONE` (UTC by default) and {@link DURATIONS}; throws one error that lists all problems. */
export function readOptions(env: NodeJS.ProcessEnv): Options {
  const problems: string[] = [];
  const entries = Object.entries(DURATIONS).map(([name, [option, fallback, unit]]) => {
    const text = env[name]?.trim() || String(fallback);
    const value = Number(text);
    if (!(value >= 0.001 && value <= 1e5)) {
      problems.push(`${name} must be a number from 0.001 to 100000, not '${text}'`);
    }
    return [option, Math.round(value * unit)] as const;
  });
  const zone = env['TRAVELERS_ZONE']?.trim() || 'UTC';
  try {
    Intl.DateTimeFormat('en', { timeZone: zone });
  } catch {
    problems.push(`TRAVELERS_ZONE must be a time zone such as Europe/Berlin, not '${zone}'`);
  }
  const durations = Object.fromEntries(entries) as Omit<Options, 'zone'>;
  if (durations.idleAfter < durations.lateness) {
    problems.push(
      'TRAVELERS_IDLE_SECONDS must not be less than TRAVELERS_LATENESS_SECONDS: samples after a pause that is shorter than the lateness would be late',
    );
  }
  if (problems.length > 0) throw new Error(problems.join('; '));
  return { zone, ...durations };
}
