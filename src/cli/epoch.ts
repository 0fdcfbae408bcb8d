import { withDatabase } from './database.ts';

export async function run(source: string): Promise<void> {
  const rows = await withDatabase(async (database) => {
    const result = await database.control.query<{ epoch: number }>(
      `update muster.source set epoch = epoch + 1, lsn = 0, at = 0, updated_at = now() where name = $1 returning epoch`,
      [source],
    );
    return result.rows;
  });
  if (rows[0] === undefined) throw new Error(`no event of a source '${source}' has arrived yet`);
  process.stdout.write(
    `source ${source} is in epoch ${rows[0].epoch} now: its positions start over\n`,
  );
}
