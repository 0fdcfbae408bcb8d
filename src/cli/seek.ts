import { projectionOf, withDatabase } from './database.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { wholeNumber } from './number.ts';

const MAX_PARTITION = 2_147_483_647;

export async function run(
  fn: string,
  partition: string,
  offset: string,
  options: JsonOption,
): Promise<void> {
  const at = wholeNumber('partition', partition, 0, MAX_PARTITION);
  const next = wholeNumber('offset', offset, 0);
  const [moved] = await withDatabase(async (database) => {
    const { id, topic } = await projectionOf(database, fn);
    const { rows } = await database.control.query<{ topic: string; before: string }>(
      `update muster.position set next = $4, last_timestamp = null, problem = null, topic_id = null
       where function = $1 and topic = $2 and partition = $3
       returning topic, old.next as before`,
      [id, topic, at, next],
    );
    return rows;
  });
  if (moved === undefined) throw new Error(`partition ${at} of ${fn} has not been read yet`);
  printResult(
    options,
    { function: fn, topic: moved.topic, partition: at, next, before: Number(moved.before) },
    `${fn} resumes partition ${at} of ${moved.topic} at ${next}, was at ${moved.before}`,
  );
}
