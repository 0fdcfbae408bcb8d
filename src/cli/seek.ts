import { projectionOf, withDatabase } from './database.ts';
import { WrongUse } from './wrong-use.ts';

export async function run(fn: string, partition: string, offset: string): Promise<void> {
  const [at, next] = [whole('partition', partition), whole('offset', offset)];
  const [moved] = await withDatabase(async (database) => {
    const { id, topic } = await projectionOf(database, fn);
    const { rows } = await database.control.query<{ topic: string; before: string }>(
      `update muster.position set next = $4, stamp = null, problem = null, topic_id = null
       where function = $1 and topic = $2 and partition = $3
       returning topic, old.next as before`,
      [id, topic, at, next],
    );
    return rows;
  });
  if (moved === undefined) throw new Error(`partition ${at} of ${fn} was not read yet`);
  process.stdout.write(
    `${fn} goes on in partition ${at} of ${moved.topic} at ${next}, was at ${moved.before}\n`,
  );
}

function whole(name: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new WrongUse(`${name} must be a whole number, not '${text}'`);
  return Number(text);
}
