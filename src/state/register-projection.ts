import { milliseconds } from '../duration.ts';
import type { ProjectionDefinition } from '../function.ts';
import { transaction, type Database } from './database.ts';

/** Registers a projection and gives its id; throws if its definition is wrong, or the name a set function's. */
export async function registerProjection(
  database: Database,
  definition: ProjectionDefinition,
): Promise<number> {
  const { name, topic } = definition;
  checkProjection(definition);
  return transaction(database.control, async (client) => {
    await client.query(
      `insert into muster.function (name, generation, hash, need, gate_need, gate_of, reviewed, topic)
       values ($1, 1, 'projection', '{}', '{}', '{}', 1, $2) on conflict (name) do nothing`,
      [name, topic],
    );
    const { rows } = await client.query<{ id: number }>(
      'update muster.function set topic = $2 where name = $1 and topic is not null returning id',
      [name, topic],
    );
    if (rows[0] === undefined) {
      throw new Error(
        `function ${name} is registered as one of sets; a projection needs another name`,
      );
    }
    return rows[0].id;
  });
}

/** Throws one error that lists every problem of a definition. */
export function checkProjection(definition: ProjectionDefinition): void {
  const problems: string[] = [];
  const { name, topic, chunkRecords = 1 } = definition;
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(name)) {
    problems.push(`name '${name}' must be lower-case letters, digits and dashes`);
  }
  if (!/^[a-zA-Z0-9._-]{1,249}$/.test(topic))
    problems.push(`topic '${topic}' is no name of a topic`);
  if (!Number.isInteger(chunkRecords) || chunkRecords < 1) {
    problems.push('chunkRecords must be 1 or more');
  }
  for (const each of ['linger', 'settleEvery'] as const) {
    try {
      if (definition[each] !== undefined) milliseconds(definition[each]);
    } catch (error) {
      problems.push(`${each}: ${(error as Error).message}`);
    }
  }
  if (problems.length > 0) throw new Error(`projection ${name}:\n  ${problems.join('\n  ')}`);
}
