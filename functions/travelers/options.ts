/** Times are microseconds, as those of samples are. */
export interface Options {
  /** Zone of the clocks that timestamps without an offset are read from. */
  readonly zone: string;
  /** A sample may be so much older than the newest one before it in its partition. */
  readonly lateness: number;
  /** A longer pause ends a visit. */
  readonly visitTimeout: number;
  /** A partition that is read to its end and brought nothing for so long does not hold up the others. */
  readonly idleAfter: number;
  /** A sample from farther in the future is parked: it would make all that follow late. */
  readonly aheadAtMost: number;
  /** How far back seconds are kept, then only minutes, then only hours. */
  readonly keepSeconds: number;
  readonly keepMinutes: number;
}

const SECOND = 1e6;
const HOUR = 3_600e6;
const DAY = 86_400e6;

/** Each with its default, in the unit that its name ends with. */
const DURATIONS = {
  TRAVELERS_LATENESS_SECONDS: ['lateness', 5, SECOND],
  TRAVELERS_VISIT_TIMEOUT_SECONDS: ['visitTimeout', 10, SECOND],
  TRAVELERS_IDLE_SECONDS: ['idleAfter', 10, SECOND],
  TRAVELERS_AHEAD_SECONDS: ['aheadAtMost', 60, SECOND],
  TRAVELERS_SECOND_BUCKETS_HOURS: ['keepSeconds', 1, HOUR],
  TRAVELERS_MINUTE_BUCKETS_DAYS: ['keepMinutes', 35, DAY],
} as const;

/** Reads `TRAVELERS_ZONE` (UTC unless set) and those above; throws one error that says all that is wrong. */
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
    problems.push(`TRAVELERS_ZONE must be a time zone as Europe/Berlin, not '${zone}'`);
  }
  const durations = Object.fromEntries(entries) as Omit<Options, 'zone'>;
  if (durations.idleAfter < durations.lateness) {
    problems.push(
      'TRAVELERS_IDLE_SECONDS must not be below TRAVELERS_LATENESS_SECONDS: what a partition brings after a pause within the lateness would be late',
    );
  }
  if (problems.length > 0) throw new Error(problems.join('; '));
  return { zone, ...durations };
}
