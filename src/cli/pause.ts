import { functionId, withDatabase } from './database.ts';

export async function run(fn: string, paused: boolean): Promise<void> {
  await withDatabase(async (database) => {
    const id = await functionId(database, fn);
    await database.control.query('update muster.function set paused = $2 where id = $1', [
      id,
      paused,
    ]);
  });
  process.stdout.write(
    paused ? `${fn} is paused: no run is started until 'muster resume ${fn}'\n` : `${fn} goes on\n`,
  );
}
