import { expect } from 'vitest';
import { defineFunction } from '../../src/function.ts';
import { serverOn } from '../support/engine.ts';
import { post } from '../support/sender.ts';
import { test } from '../support/test.ts';

const pair = defineFunction({
  name: 'pair',
  parts: {
    a: { table: 'shop.orders', key: 'k', where: { kind: 'a' } },
    b: { table: 'shop.orders', key: 'k', where: { kind: 'b' } },
  },
  handle() {},
});

type Row = Record<string, unknown>;

const T = Date.now() - 60_000;
const POSITIONS = {
  postgresql: (n: number) => ({ schema: 'shop', lsn: n }),
  mysql: (n: number) => ({ db: 'shop', file: 'mysql-bin.000003', pos: n, row: 0 }),
  mariadb: (n: number) => ({ db: 'shop', file: 'mysql-bin.000003', pos: n, row: 0 }),
} as const;

test.for(['postgresql', 'mysql', 'mariadb'] as const)(
  'with a connector for each tenant of %s, no row replaces that of another tenant',
  async (connector, { db }) => {
    const server = await serverOn(db, [pair]);
    const send = async (name: string, n: number, op: string, row: Row) => {
      const common = { connector, name, table: 'orders', ts_ms: T + n, snapshot: 'false' };
      const source = { ...common, ...POSITIONS[connector](n) };
      const images = op === 'd' ? { before: row, after: null } : { before: null, after: row };
      const message = { op, ...images, source, ts_ms: T + n + 5 };
      expect((await post(server.url, JSON.stringify(message))).status).toBe(204);
    };
    // the log of one tenant is far longer, and each has the same ids
    await send('tenant_a', 9_000, 'c', { id: 1, k: 'of a', kind: 'a' });
    await send('tenant_b', 100, 'c', { id: 1, k: 'of b', kind: 'a' });
    await send('tenant_a', 9_001, 'c', { id: 2, k: 'of a', kind: 'b' });
    await send('tenant_b', 101, 'c', { id: 2, k: 'of b', kind: 'b' });
    await send('tenant_a', 9_002, 'c', { id: 3, k: 'third of a', kind: 'a' });
    await send('tenant_b', 102, 'c', { id: 3, k: 'third of b', kind: 'a' });
    await send('tenant_a', 9_003, 'd', { id: 3 });
    await send('tenant_b', 103, 'u', { id: 1, k: 'moved by b', kind: 'a' });
    await send('tenant_b', 104, 't', {}); // a truncate of one tenant
    await send('tenant_b', 105, 'c', { id: 2, k: 'again in b', kind: 'b' });
    await server.stop();

    const rows = await db.query(
      `select s.name, m.id, k.key from muster.member m join muster.source s on s.id = m.source
       join muster.sets k using (function, key_hash) where m.in_set order by 1, 2`,
    );
    expect(rows).toEqual([
      { name: 'tenant_a', id: '1', key: 'of a' },
      { name: 'tenant_a', id: '2', key: 'of a' },
      { name: 'tenant_b', id: '2', key: 'again in b' },
    ]);
  },
);
