import { printResult, type JsonOption } from './print-result.ts';
import { functionOf, withDatabase } from './database.ts';

export async function run(fn: string, paused: boolean, options: JsonOption): Promise<void> {
  const { topic } = await withDatabase(async (database) => {
    const found = await functionOf(database, fn);
    await database.control.query('update muster.function set paused = $2 where id = $1', [
      found.id,
      paused,
    ]);
    return found;
  });
  const what = topic === null ? 'no run starts' : `no record of ${topic} is read`;
  printResult(
    options,
    { function: fn, paused },
    paused ? `${fn} is paused: ${what} until 'muster resume ${fn}'` : `${fn} is resumed`,
  );
}
