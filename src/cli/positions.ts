import { projectionOf, withDatabase } from './database.ts';
import type { JsonOption } from './print-result.ts';

interface PositionRow {
  function: string;
  topic: string;
  partition: number;
  /** bigint as text */
  next: string;
  end: string;
  waiting: string;
  reportedAt: Date;
  problem: string | null;
  lost: string;
}

export async function run(fn: string | undefined, options: JsonOption): Promise<void> {
  const rows = await withDatabase(async (database) => {
    if (fn !== undefined) await projectionOf(database, fn);
    const result = await database.control.query<PositionRow>(
      `select f.name as function, p.topic, p.partition, p.next, p.log_end as "end",
              greatest(p.log_end - p.next, 0) as waiting, p.reported_at as "reportedAt", p.problem,
              (select coalesce(sum(l.next - l.first), 0) from muster.lost_records l
               where l.function = p.function and l.topic = p.topic and l.partition = p.partition) as lost
       from muster.position p join muster.function f on f.id = p.function
       where ($1::text is null or f.name = $1)
       order by f.name, p.topic, p.partition`,
      [fn ?? null],
    );
    return result.rows;
  });
  for (const row of rows) {
    process.stdout.write(`${options.json ? JSON.stringify(row) : toLine(row)}\n`);
  }
  if (rows.length === 0 && !options.json) process.stderr.write('no partition has been read yet\n');
}

function toLine({
  topic,
  partition,
  next,
  waiting,
  reportedAt,
  problem,
  lost,
  ...row
}: PositionRow) {
  const notes = [
    ...(lost === '0' ? [] : [lost === '1' ? '1 record was lost' : `${lost} records were lost`]),
    ...(problem === null ? [] : [`stopped: ${problem}`]),
  ];
  return [
    row.function,
    `${topic} ${partition}:${next}`,
    `${waiting} waiting at ${reportedAt.toISOString()}`,
    ...notes,
  ].join('\t');
}
