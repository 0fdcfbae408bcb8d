import { functionId, withDatabase } from './database.ts';
import type { SetsOptions } from './muster.ts';
import { wholeNumber } from './number.ts';

interface SetRow {
  function: string;
  key: string;
  status: string;
  overdue: boolean;
  attempt: number | null;
  error: string | null;
}

export async function run(fn: string | undefined, options: SetsOptions): Promise<void> {
  const limit = wholeNumber('--limit', options.limit);
  const rows = await withDatabase(async (database) => {
    if (fn !== undefined) await functionId(database, fn);
    const result = await database.control.query<SetRow>(
      `select function, key, status, overdue, attempt, error from muster.set_status
       where ($1::text is null or function = $1)
         and ($2::text is null or status = $2)
         and (not $3 or overdue)
       order by function, overdue_at nulls last, key limit $4`,
      [
        fn ?? null,
        options.failed ? 'failed' : options.waiting ? 'waiting' : null,
        options.overdue ?? false,
        limit,
      ],
    );
    return result.rows;
  });
  for (const row of rows) {
    process.stdout.write(
      options.json
        ? `${JSON.stringify(row)}\n`
        : `${[row.function, row.key, row.overdue ? 'overdue' : row.status, row.error ?? ''].join('\t').trimEnd()}\n`,
    );
  }
  if (rows.length === 0 && !options.json) process.stderr.write('no such set\n');
}
