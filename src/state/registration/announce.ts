/**
 * How one release takes over from another. Registering a definition closes every worker of another definition,
 * so the process that registers it, and the time, determine whether intake is interrupted:
 *
 * 1. `muster migrate` announces a definition (`muster.function.announced`) if a worker of its function is
 *    alive, and registers it otherwise.
 * 2. The first worker of the new release listens and is ready. With the first event that reaches it, or after
 *    the time that the cluster needs to notice that it is ready, it registers the definition ({@link
 *    file://../relief.ts}). Until then it holds events, and ingests them only under the new registration.
 * 3. From that commit on, the workers of the previous release ingest nothing and answer 503, because every
 *    statement compares its `registration`.
 *
 * A worker may only register a definition that is unknown or announced. A worker whose definition was superseded
 * waits until `muster migrate` of its release announces it again: a rollback takes the same three steps.
 *
 * Why simpler protocols fail:
 *
 * - The migration registers immediately: every worker is closed before a new one is up (none ready for 15 s),
 *   and intake stays down if the new image does not start.
 * - A worker registers as soon as it starts, before it listens: the same, for the duration of a start; and
 *   permanently if it can't listen.
 * - A worker registers as soon as it listens: its readiness is probed every two seconds and endpoints follow,
 *   so for a while the cluster sends events only to workers that refuse them.
 * - The new worker accepts events before the registration: two rules would apply to one set.
 * - The new worker answers 503 instead of holding events: every event is retried after a longer interval,
 *   although it could be ingested in a moment.
 * - Old workers refuse events that only the announced definition needs: that table waits for a release that may
 *   never start. Instead, an old worker answers that such an event is unwanted until the registration, as before
 *   the rollout; the part is marked as unsynced since the registration.
 * - A superseded worker that restarts registers itself: two releases take turns during each rollout.
 * - A superseded worker exits: it is restarted at increasing intervals, and is not running when its definition
 *   is announced.
 * - Withdrawing only clears the announcement: the release that was rolled back is unknown then, and one of its
 *   workers that starts late takes over from the release that replaced it. So its hash is kept.
 * - `announced` decides alone, without checking leases: when scaled to zero there is no worker to be relieved,
 *   and the definition would be registered by the worker that the first event wakes, while the event waits.
 */
import type { Database } from '../database/database.ts';
import { hashOf, type Specification } from '../../definitions/specification.ts';
import { Superseded } from './register.ts';

/** Regardless of the worker's definition: a worker that has just registered may not have renewed its lease with it yet. */
const IS_SERVED =
  'exists (select from muster.worker w where w.lease_until > now() and w.serves ? f.id::text)';

/**
 * Announces a definition if workers serve another one of the function, and returns true. Returns false if no
 * worker would be interrupted, or if the definition is the newest: the caller registers it.
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
 * Returns whether a live worker must be relieved before these definitions are registered. Throws
 * {@link Superseded} if one of them must not be registered at all.
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
