import type { Database } from '../database/database.ts';
import { hashOf, type Specification } from '../../definitions/specification.ts';

/** The definition of this release compared with the registered ones. */
export interface Release {
  readonly name: string;
  /** Newest registered generation. */
  readonly generation: number;
  /** Generation as which this release's definition was registered; null = never. */
  readonly mine: number | null;
  readonly isNewest: boolean;
  /** Whether a migration announced it: the first worker of this release that is ready registers it. */
  readonly isAnnounced: boolean;
  readonly evaluatedGeneration: number;
}

/** A {@link Release} per registered function. $1 names  $2 hashes of this release's definitions */
export const RELEASES = `select f.name, f.generation, f.evaluated_generation as "evaluatedGeneration", f.hash = mine.hash as "isNewest",
              coalesce(f.announced = mine.hash, false) as "isAnnounced",
              (select max(d.generation) from muster.definition d
               where d.function = f.id and d.hash = mine.hash) as mine
       from unnest($1::text[], $2::text[]) as mine (name, hash)
       join muster.function f on f.name = mine.name`;

/** Returns null if no function of this name is registered. */
export async function releaseOf(
  database: Database,
  specification: Specification,
): Promise<Release | null> {
  const { rows } = await database.control.query<Release>(RELEASES, [
    [specification.name],
    [hashOf(specification)],
  ]);
  return rows[0] ?? null;
}
