import { checkProjection } from '../../definitions/check-definition.ts';
import { DefinitionError } from '../../definitions/fields.ts';
import type { ProjectionDefinition } from '../../function.ts';
import { transaction, type Database } from '../database/database.ts';

/** Registers a projection and returns its id; throws if its definition is invalid, or its name is that of a set function. */
export async function registerProjection(
  database: Database,
  definition: ProjectionDefinition,
): Promise<number> {
  const { name, topic } = definition;
  const problems: string[] = [];
  checkProjection(definition, (problem) => problems.push(problem));
  if (problems.length > 0) throw new DefinitionError(`projection ${name}`, problems);
  return transaction(database.control, async (client) => {
    await client.query(
      `insert into muster.function (name, generation, hash, need, gate_need, gate_of, evaluated_generation, topic)
       values ($1, 1, 'projection', '{}', '{}', '{}', 1, $2) on conflict (name) do nothing`,
      [name, topic],
    );
    const { rows } = await client.query<{ id: number }>(
      'update muster.function set topic = $2 where name = $1 and topic is not null returning id',
      [name, topic],
    );
    if (rows[0] === undefined) {
      throw new Error(
        `function ${name} is registered as a set function; a projection needs another name`,
      );
    }
    return rows[0].id;
  });
}
