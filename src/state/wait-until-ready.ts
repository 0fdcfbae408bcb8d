import { retry, waitAfter, withoutJitter } from '../lib/retry.ts';
import { isUngranted, isUnmigrated, mayPass, unavailable } from './database/database.ts';
import { Superseded } from './registration/register.ts';

const UNTIL_READY = { attempts: Infinity, firstMs: 1_000, maxMs: 1_000 };
/** The same wait is reported again after 1 s, 2 s, 4 s … and then each minute. */
const REPORTS = { attempts: Infinity, firstMs: 1_000, maxMs: 60_000 };

/** Reports why a process waits. `fields` has the error, and the time at which the wait began. */
export type ReportWait = (
  fields: { readonly error: string; readonly since: string },
  reason: string,
) => void;

/**
 * Calls `start` again while the database does not answer or is not ready, and reports the reason before each
 * wait; a process that exited instead would be restarted at increasing intervals. Throws every other error. If
 * `stopped` resolves during a wait, throws its value.
 */
export async function waitUntilReady<T>(
  start: () => Promise<T>,
  report: ReportWait,
  stopped: Promise<unknown> = new Promise(() => {}),
  reasonToWait = notReady,
): Promise<T> {
  const since = new Date().toISOString();
  const reportOnce = withGrowingGaps(report);
  const schedule = {
    ...UNTIL_READY,
    isRetryable: (error: unknown) => reasonToWait(error) !== null,
  };
  return retry(start, schedule, {
    onRetry(error) {
      reportOnce(
        { error: unavailable(error).message, since },
        `${reasonToWait(error)}, trying again`,
      );
    },
    stopped,
  });
}

/** Passes on reports that differ from the previous one, and equal ones in growing intervals. */
export function withGrowingGaps(
  report: ReportWait,
  now: () => number = () => performance.now(),
): ReportWait {
  let last = '';
  let equal = 0;
  let nextAt = 0;
  return (fields, reason) => {
    const text = `${reason} ${fields.error}`;
    if (text === last && now() < nextAt) return;
    equal = text === last ? equal + 1 : 1;
    nextAt = now() + waitAfter(equal, REPORTS, withoutJitter)!;
    last = text;
    report(fields, reason);
  };
}

/** Returns why the database is not ready for a process that uses it; null if waiting does not help. */
function notReady(error: unknown): string | null {
  // The process may have started before its rollback is announced.
  if (error instanceof Superseded) return 'another release serves';
  if (isUnmigrated(error)) {
    return "the state database is not at this release: 'muster migrate' brings it there";
  }
  if (isUngranted(error)) {
    return "the login may not use the state database yet: 'muster migrate' grants the roles";
  }
  return unreachable(error);
}

/** Returns why the database can't be reached at present; null if waiting does not help. */
export function unreachable(error: unknown): string | null {
  if (!mayPass(error)) return null;
  const { code = '' } = error as { code?: string };
  if (code === '25006') return 'the database is read-only';
  if (/ENOTFOUND|EAI_AGAIN/.test(code)) {
    return 'the host of DATABASE_URL has no address: if the name is right, DNS does not know it yet';
  }
  return 'the database does not answer';
}
