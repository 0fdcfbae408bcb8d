import type pg from 'pg';
import type { Database } from '../database/database.ts';
import { transaction } from '../database/database.ts';
import { compile, hashOf, type Specification } from '../../definitions/specification.ts';
import { assignPartIndexes, partSpecificationOf } from './parts.ts';
import type { RegisteredFunction } from '../../definitions/registered-function.ts';

/** A newer definition of the function is registered: this process must no longer evaluate its sets. */
export class Superseded extends Error {
  override readonly name = 'Superseded';

  constructor(name: string, generation: number) {
    super(
      `function ${name}: this definition was superseded by generation ${generation}; to restore it, run 'muster migrate' with this release`,
    );
  }
}

/**
 * Registers a definition and returns it with its part indexes and generation.
 *
 * An unknown definition becomes the newest one. For a definition that was superseded or withdrawn it throws
 * {@link Superseded}, because a worker of the old release that restarts during a rollout must not take over.
 * With `adopt`, or while it is announced, such a definition becomes the newest again: this is how `muster
 * migrate` of the old image rolls a release back. See announce.ts.
 */
export async function register(
  database: Database,
  specification: Specification,
  adopt = false,
): Promise<RegisteredFunction> {
  return transaction(database.control, async (client) => {
    const hash = hashOf(specification);
    const stored = await lockFunction(client, specification, hash);
    if (isNewest(stored, hash)) {
      if (adopt) await client.query(WITHDRAW, [stored.id]);
      return toRegistered(stored, specification);
    }
    const known = await client.query(
      'select from muster.definition where function = $1 and hash = $2',
      [stored.id, hash],
    );
    const isFormer = known.rowCount !== 0 || stored.withdrawn.includes(hash);
    if (isFormer && !adopt && stored.announced !== hash) {
      throw new Superseded(specification.name, stored.generation);
    }
    // This waits for batches under the old rule; batches that wait for the barrier see the new rule.
    await client.query('lock table muster.barrier in share mode');
    const partIndexOf = await assignPartIndexes(client, stored, stored.partIndexes, specification);
    const generation = stored.generation + 1;
    const { need, gateNeed, gateOf } = compile(specification, partIndexOf);
    const { rows } = await client.query<{ registration: string }>(
      `update muster.function
       set generation = $2, registration = gen_random_uuid(), hash = $3, need = $4, gate_need = $5, gate_of = $6, concurrency = $7,
           overdue_after = make_interval(secs => $8::float8 / 1000),
           announced = null, withdrawn = array_remove(array_remove(array_append(withdrawn, announced), null), $3),
           purged_at = null, -- so that part indexes that are no longer used are cleared soon
           evaluated_generation = case when generation = 0 then $2 else evaluated_generation end
       where id = $1 returning registration`,
      [
        stored.id,
        generation,
        hash,
        need,
        gateNeed,
        gateOf,
        specification.concurrency,
        specification.overdueMs,
      ],
    );
    await client.query(
      'insert into muster.definition (function, generation, hash, definition) values ($1, $2, $3, $4)',
      [stored.id, generation, hash, JSON.stringify(specification)],
    );
    const { registration } = rows[0]!;
    return { id: stored.id, generation, registration, specification, partIndexOf };
  });
}

/**
 * Returns those of the specifications that are the newest definition of their function, by name. A process that
 * starts needs only this statement, unless it is the first one of its release.
 */
export async function registered(
  database: Database,
  specifications: readonly Specification[],
): Promise<Map<string, RegisteredFunction>> {
  const stored = await lookUp(database.control, specifications);
  const found = new Map<string, RegisteredFunction>();
  for (const specification of specifications) {
    const one = stored.get(specification.name);
    if (one !== undefined && isNewest(one, hashOf(specification))) {
      found.set(specification.name, toRegistered(one, specification));
    }
  }
  return found;
}

/** Returns the functions whose sets have not all been evaluated by the newest rule. */
export async function unevaluated(
  database: Database,
  served: readonly RegisteredFunction[],
): Promise<RegisteredFunction[]> {
  const { rows } = await database.control.query<{ id: number }>(
    'select id from muster.function where id = any($1) and evaluated_generation < generation',
    [served.map((each) => each.id)],
  );
  return served.filter((each) => rows.some((row) => row.id === each.id));
}

/** Returns the next page of a function's sets, in the order of the hashes of their keys. */
export async function pageOfSets(
  database: Database,
  functionId: number,
  after: string,
): Promise<{ readonly key: string; readonly keyHash: string }[]> {
  const { rows } = await database.control.query<{ key: string; keyHash: string }>(
    `select key, key_hash as "keyHash" from muster.sets
     where function = $1 and key_hash > $2 order by key_hash limit 256`,
    [functionId, after],
  );
  return rows;
}

export async function markEvaluated(database: Database, served: RegisteredFunction): Promise<void> {
  await database.control.query(
    'update muster.function set evaluated_generation = generation where id = $1 and registration = $2',
    [served.id, served.registration],
  );
}

/** Withdraws the announcement of a release that never became ready. */
const WITHDRAW = `
  update muster.function set announced = null, withdrawn = array_append(withdrawn, announced)
  where id = $1 and announced is not null`;

interface Stored {
  readonly id: number;
  readonly generation: number;
  readonly registration: string;
  readonly hash: string;
  readonly announced: string | null;
  readonly withdrawn: readonly string[];
  /** Indexes of the unchanged parts, by name. */
  readonly partIndexes: Readonly<Record<string, number>>;
}

function isNewest(stored: Stored, hash: string): boolean {
  return stored.hash === hash && stored.generation > 0;
}

function toRegistered(stored: Stored, specification: Specification): RegisteredFunction {
  const { id, generation, registration, partIndexes } = stored;
  return {
    id,
    generation,
    registration,
    specification,
    partIndexOf: new Map(Object.entries(partIndexes)),
  };
}

async function lookUp(
  queryable: pg.Pool | pg.PoolClient,
  specifications: readonly Specification[],
): Promise<Map<string, Stored>> {
  const parts = specifications.flatMap(({ name, parts: all }) =>
    all.map((part) => [name, part.name, partSpecificationOf(part)] as const),
  );
  const { rows } = await queryable.query<Stored & { name: string }>(
    `select f.name, f.id, f.generation, f.registration, f.hash, f.announced, f.withdrawn,
            (select coalesce(json_object_agg(p.name, p.part_index), '{}')
             from unnest($2::text[], $3::text[], $4::jsonb[]) as mine (function, name, specification)
             join muster.part p on p.name = mine.name and p.specification = mine.specification and p.in_use
             where mine.function = f.name and p.function = f.id) as "partIndexes"
     from muster.function f where f.name = any($1)`,
    [
      specifications.map(({ name }) => name),
      ...([0, 1, 2] as const).map((i) => parts.map((part) => part[i])),
    ],
  );
  return new Map(rows.map((row) => [row.name, row]));
}

async function lockFunction(
  client: pg.PoolClient,
  specification: Specification,
  hash: string,
): Promise<Stored> {
  const { name } = specification;
  await client.query(
    `insert into muster.function (name, generation, hash, need, gate_need, gate_of, evaluated_generation)
     values ($1, 0, $2, '{}', '{}', '{}', 0) on conflict (name) do nothing`,
    [name, hash],
  );
  await client.query('select from muster.function where name = $1 for update', [name]);
  return (await lookUp(client, [specification])).get(name)!;
}
