import { setTimeout as sleep } from 'node:timers/promises';
import { isUngranted, isUnmigrated, mayPass, unavailable } from './database/database.ts';
import { Superseded } from './registration/register.ts';

const EVERY_MS = 1_000;

/** `fields` tell the error, and since when it lasts. */
export type Say = (fields: { readonly error: string; readonly since: string }, why: string) => void;

/**
 * Starts something, again and again while the database does not answer or is not ready for it, and says
 * each time what it waits for: a process that gave up instead would be restarted at ever longer
 * intervals. Throws other errors, and where `stopped` resolves meanwhile what that resolves with.
 */
export async function patiently<T>(
  start: () => Promise<T>,
  say: Say,
  stopped: Promise<unknown> = new Promise(() => {}),
  waitsFor = notReady,
): Promise<T> {
  const since = new Date().toISOString();
  for (;;) {
    try {
      return await start();
    } catch (error) {
      const why = waitsFor(error);
      if (why === null) throw error;
      say({ error: unavailable(error).message, since }, `${why}, trying again`);
      await Promise.race([sleep(EVERY_MS), stopped.then((reason) => Promise.reject(reason))]);
    }
  }
}

/** What the database is not yet to a process that uses it; null where waiting is of no use. */
function notReady(error: unknown): string | null {
  // Started before its rollback is announced: a process that ended would come back at ever longer intervals.
  if (error instanceof Superseded) return 'another release serves';
  if (isUnmigrated(error)) {
    return "the state database is not at this release: 'muster migrate' brings it there";
  }
  if (isUngranted(error)) {
    return "the login may not use the state database yet: 'muster migrate' grants the roles";
  }
  return away(error);
}

/** The same for `muster migrate`, which gives a database what it lacks. */
export function away(error: unknown): string | null {
  if (!mayPass(error)) return null;
  const { code = '' } = error as { code?: string };
  if (code === '25006') return 'the database is read-only';
  if (/ENOTFOUND|EAI_AGAIN/.test(code)) {
    return 'the host of DATABASE_URL has no address: if its name is right, it is not known yet';
  }
  return 'the database does not answer';
}
