import type { Specification } from '../../definitions/specification.ts';
import type { Tx } from '../../function.ts';

/** Returns the current definitions of those of these functions that are registered and have sets, by name. */
export async function specifications(tx: Tx, names: readonly string[]): Promise<Specification[]> {
  const { rows } = await tx.query<{ definition: Specification }>(
    `select d.definition
     from muster.function f
     join muster.definition d on d.function = f.id and d.generation = f.generation
     where f.name = any($1) and f.topic is null
     order by f.name`,
    [names],
  );
  return rows.map(({ definition }) => definition);
}
