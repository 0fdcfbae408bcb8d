/**
 * How one release takes over from another. A registered definition closes every worker of another one, so
 * who registers it, and when, decides whether anybody serves meanwhile:
 *
 * 1. `muster migrate` announces a definition (`muster.function.announced`) while a worker of its function is
 *    alive, and registers it otherwise.
 * 2. The first worker of the new release listens and is ready. With the first event that reaches it, or
 *    after the time in which the cluster learns that it is ready, it registers the definition ({@link
 *    file://../relief.ts}). Events are held meanwhile and ingested under the new registration alone.
 * 3. From that commit on, the workers of the release before file nothing and answer 503, by the
 *    `registration` that every statement of theirs compares.
 *
 * A worker may only register a definition that is unknown or announced. One that was superseded waits until
 * `muster migrate` of its release announces it again: the rollback, by the same three steps.
 *
 * What goes wrong if it were simpler:
 *
 * - The migration registers at once: every worker is closed before a new one is up (none ready for 15 s), and
 *   intake stays down where the new image does not start.
 * - A worker registers as soon as it starts, before it listens: the same, for the time of a start; and where
 *   it can't listen, for good.
 * - A worker registers as soon as it listens: its readiness is probed every two seconds and endpoints follow,
 *   so that for a while the cluster sends events only to workers that refuse them.
 * - The new worker answers events before the registration: two rules decide one set. It answers 503 instead of
 *   holding them: every event is tried again at a longer interval, although it could be ingested in a moment.
 * - Old workers refuse what only the announced definition wants: that table waits for a release that may never
 *   start. An old worker takes such an event for unwanted until the registration, as before the rollout; the
 *   part is marked as unread since the registration.
 * - A superseded worker that starts again registers itself: two releases take turns during each rollout. It
 *   ends instead: it is restarted at ever longer intervals, and is not there when it is announced.
 * - Withdrawing only forgets the announcement: the release that was rolled back is unknown, and one of its
 *   workers that starts late takes over from the release that it was rolled back to. So its hash is kept.
 * - `announced` decides alone, without a look at leases: at zero nobody would relieve anybody, and the
 *   definition would be registered by whoever wakes with the first event, which waits for it.
 */
import type { Database } from '../database/database.ts';
import { hashOf, type Specification } from '../../definitions/specification.ts';
import { Superseded } from './register.ts';

/** Whatever definition the worker serves: one that has registered a moment ago may not have renewed its lease with it yet. */
const IS_SERVED =
  'exists (select from muster.worker w where w.lease_until > now() and w.serves ? f.id::text)';

/**
 * Announces a definition while workers serve another one of the function, and returns true. Returns false
 * where nobody would be interrupted, or where it is the newest: the caller registers it.
 */
export async function announce(database: Database, specification: Specification): Promise<boolean> {
  const { rowCount } = await database.control.query(
    `update muster.function f
     set announced = $2, withdrawn = array_remove(array_remove(array_append(withdrawn, announced), null), $2)
     where name = $1 and generation > 0 and hash <> $2 and ${IS_SERVED}`,
    [specification.name, hashOf(specification)],
  );
  return rowCount !== 0;
}

/**
 * Does a live worker have to be relieved before these definitions are registered? Throws
 * {@link Superseded} where one of them must not be registered at all.
 */
export async function isToRelieve(
  database: Database,
  specifications: readonly Specification[],
): Promise<boolean> {
  const { rows } = await database.control.query<{
    name: string;
    generation: number;
    isSuperseded: boolean;
    isServed: boolean;
  }>(
    `select f.name, f.generation, ${IS_SERVED} as "isServed",
            f.announced is distinct from mine.hash
            and (mine.hash = any (f.withdrawn)
                 or exists (select from muster.definition d where d.function = f.id and d.hash = mine.hash))
              as "isSuperseded"
     from unnest($1::text[], $2::text[]) as mine (name, hash)
     join muster.function f on f.name = mine.name and f.hash <> mine.hash`,
    [specifications.map(({ name }) => name), specifications.map(hashOf)],
  );
  const superseded = rows.find((row) => row.isSuperseded);
  if (superseded !== undefined) throw new Superseded(superseded.name, superseded.generation);
  return rows.some((row) => row.isServed);
}
