/** A function on the table of MySQL and MariaDB. */
import { expect } from 'vitest';
import { defineFunction } from '../../../src/function.ts';
import type { TestDatabase } from '../../support/test.ts';
import { until } from '../../support/until.ts';
import type { MySqlPipeline } from './mysql-pipeline.ts';

/** Two parts on the table of {@link MySqlPipeline}. */
export const pair = defineFunction({
  name: 'pair',
  parts: {
    a: { table: 'shop.item', key: 'k', where: { kind: 'a' } },
    b: { table: 'shop.item', key: 'k', where: { kind: 'b' } },
  },
  handle: ({ key }) => [{ type: 'pair', data: { k: key.k } }],
});

/** Resolves when the rows in sets are those of the table; fails if they do not become so. */
export async function inStep(db: TestDatabase, mysql: MySqlPipeline): Promise<void> {
  const table = await mysql.db.query(`select concat(k, ' ', kind, ' ', id) from shop.item`);
  const held = async () => {
    const rows = await db.query<{ row: string }>(
      `select s.key || ' ' || case m.part_index when 1 then 'a' else 'b' end || ' ' || m.id as row
       from muster.member m join muster.sets s using (function, key_hash) where m.in_set`,
    );
    return rows.map(({ row }) => row).toSorted();
  };
  await until(async () => (await held()).join() === table.toSorted().join(), 30_000).catch(
    () => {},
  );
  expect(await held()).toEqual(table.toSorted());
}

/** Resolves when the set has run. */
export async function hasRun(db: TestDatabase, key: string): Promise<void> {
  const query = `select from muster.run where state = 'done' and revision > 0 and key = $1`;
  await until(async () => (await db.query(query, [key])).length > 0, 30_000);
}
