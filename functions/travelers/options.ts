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

const SECONDS = {
  TRAVELERS_LATENESS_SECONDS: ['lateness', 5],
  TRAVELERS_VISIT_TIMEOUT_SECONDS: ['visitTimeout', 10],
  TRAVELERS_IDLE_SECONDS: ['idleAfter', 10],
  TRAVELERS_AHEAD_SECONDS: ['aheadAtMost', 60],
  TRAVELERS_KEEP_SECONDS: ['keepSeconds', 3_600],
  TRAVELERS_KEEP_MINUTES_SECONDS: ['keepMinutes', 35 * 86_400],
} as const;

/** Reads `TRAVELERS_ZONE` (UTC unless set) and those above; throws one error that says all that is wrong. */
export function readOptions(env: NodeJS.ProcessEnv): Options {
  const problems: string[] = [];
  const entries = Object.entries(SECONDS).map(([name, [option, fallback]]) => {
    const text = env[name]?.trim() || String(fallback);
    const seconds = Number(text);
    if (!(seconds >= 0.001 && seconds <= 1e9)) {
      problems.push(`${name} must be a number of seconds from 0.001 to 1e9, not '${text}'`);
    }
    return [option, Math.round(seconds * 1e6)] as const;
  });
  const zone = env['TRAVELERS_ZONE']?.trim() || 'UTC';
  try {
    Intl.DateTimeFormat('en', { timeZone: zone });
  } catch {
    problems.push(`TRAVELERS_ZONE must be a time zone as Europe/Berlin, not '${zone}'`);
  }
  if (problems.length > 0) throw new Error(problems.join('; '));
  return { zone, ...(Object.fromEntries(entries) as Omit<Options, 'zone'>) };
}
