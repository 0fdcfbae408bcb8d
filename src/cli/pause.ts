import { functionOf, withDatabase } from './database.ts';

export async function run(fn: string, paused: boolean): Promise<void> {
  const { topic } = await withDatabase(async (database) => {
    const found = await functionOf(database, fn);
    await database.control.query('update muster.function set paused = $2 where id = $1', [
      found.id,
      paused,
    ]);
    return found;
  });
  const what = topic === null ? 'no run is started' : `no record of ${topic} is read`;
  process.stdout.write(
    paused ? `${fn} is paused: ${what} until 'muster resume ${fn}'\n` : `${fn} goes on\n`,
  );
}
