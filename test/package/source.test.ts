/** `muster dev` on the tables of a user's own database. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { blockOf } from '../support/blocks.ts';
import { freshDatabase } from '../support/fresh-database.ts';
import { Dev } from './support/dev.ts';
import { useProject } from './support/use-project.ts';

const INSERT = blockOf(
  'docs/your-repository.md: insert into shop.parcel (order_id, weight) values (4711, 300',
);

const project = useProject();

test(
  'dev --source runs the function on rows of another database, and leaves nothing there after Ctrl-C',
  { timeout: 120_000 },
  async () => {
    const { url } = await freshDatabase();
    const shop = new pg.Client(url);
    await shop.connect();
    onTestFinished(() => shop.end());
    await shop.query(readFileSync(join(project.folder, 'shop.sql'), 'utf8'));
    await shop.query('insert into shop.parcel (order_id, weight) values (1, 1)'); // before the start

    const line = `npx muster dev --source '${url}'`;
    const dev = new Dev(project.folder, await freePort(), await freePort(), { line });
    await dev.says('Ctrl-C ends.');
    await dev.says('following shop.parcel, shop.payment');
    const left = async () => {
      const { rows } = await shop.query<{ name: string }>(
        `select slot_name as name from pg_replication_slots where database = current_database()
         union all select pubname from pg_publication`,
      );
      return rows.map(({ name }) => name.replace(/\d+$/, '<pid>'));
    };
    expect(await left()).toEqual(['muster_dev_<pid>', 'muster_dev_<pid>']);

    // as the application would, or a user by hand
    const psql = spawnSync('psql', [url, '--no-psqlrc', '--command', INSERT], { encoding: 'utf8' });
    if (psql.error !== undefined) await shop.query(INSERT); // it is not installed
    else if (psql.status !== 0) throw new Error(psql.stderr);
    expect(await dev.says('"order":"4711"')).toContain('order.shipped');

    // npm, which runs it, is ended by the signal, too
    const code = await dev.interrupt();
    expect([0, 130, null]).toContain(code);
    expect(dev.said).toContain('stopping');
    expect(await left()).toEqual([]);
  },
);
