import type { Database } from '../database/database.ts';
import type { RegisteredFunction } from '../../definitions/registered-function.ts';
import type { Specification } from '../../definitions/specification.ts';

/**
 * Returns a set function as it is registered, whatever the functions' files contain; null if none of that name is
 * registered.
 */
export async function storedFunction(
  database: Database,
  name: string,
): Promise<RegisteredFunction | null> {
  const { rows } = await database.control.query<StoredRow>(
    `select f.id, f.generation, f.registration, d.definition as specification,
            (select json_object_agg(p.name, p.part_index) from muster.part p where p.function = f.id and p.in_use) as "partIndexes"
     from muster.function f join muster.definition d on d.function = f.id and d.generation = f.generation
     where f.name = $1 and f.topic is null`,
    [name],
  );
  const [row] = rows;
  if (row === undefined) return null;
  const { partIndexes, ...stored } = row;
  return { ...stored, partIndexOf: new Map(Object.entries(partIndexes)) };
}

interface StoredRow extends Omit<RegisteredFunction, 'partIndexOf'> {
  readonly specification: Specification;
  readonly partIndexes: Readonly<Record<string, number>>;
}
