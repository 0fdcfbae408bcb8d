import { expect } from 'vitest';
import { defineFunction } from '../../../src/function.ts';
import { readChange } from '../../../src/intake/debezium/read-change.ts';
import { serverOn } from '../../support/engine.ts';
import { post } from '../../support/sender.ts';
import { test } from '../../support/test.ts';
import { flattened, insert, kafkaEvent, source } from '../messages.ts';

const detailOf = (database: string, name: string, connector: string) =>
  `not supported yet: ${database}: ${name} is ${connector}, and only changes of PostgreSQL (connector postgresql), MySQL (connector mysql), MariaDB (connector mariadb) are read`;

/** As those connectors write `source`, without a position that PostgreSQL has. */
const others = {
  sqlserver: { db: 'shop', schema: 'dbo', table: 'orders', change_lsn: null, commit_lsn: '0:0:1' },
  oracle: { db: 'ORCL', schema: 'SHOP', table: 'ORDERS', scn: '2868546', commit_scn: null },
  db2: { db: 'shop', schema: 'SHOP', table: 'ORDERS', change_lsn: null, commit_lsn: '0:0:1' },
  informix: { db: 'shop', schema: 'informix', table: 'orders', change_lsn: null },
  mongodb: { db: 'shop', collection: 'orders', ord: 1 },
};
const names: Record<keyof typeof others, string> = {
  sqlserver: 'SQL Server',
  oracle: 'Oracle',
  db2: 'Db2',
  informix: 'Informix',
  mongodb: 'MongoDB',
};
const ops = ['c', 'u', 'd', 'r', 't', 'm', 'x'];

test.for(
  Object.entries(others).flatMap(([name, more]) =>
    ops.map((op) => [name as keyof typeof others, op, more] as const),
  ),
)('a change of %s with op %s names its database and is not read', ([connector, op, more]) => {
  const { lsn: _, schema: __, ...common } = source;
  const before = { id: 1 };
  const message = { ...insert, op, before, source: { ...common, ...more, connector } };
  expect(readChange(kafkaEvent(message))).toEqual({
    kind: 'invalid',
    reason: 'unsupported-source',
    detail: detailOf(names[connector], 'source.connector', `"${connector}"`),
  });
});

test.for([
  ['flattened', { ...flattened, __connector: 'oracle' }, '__connector'],
  [
    'flattened, with the longer name',
    { ...flattened, __source_connector: 'oracle' },
    '__connector',
  ],
  [
    'made a CloudEvent',
    {
      specversion: '1.0',
      type: 'io.debezium.connector.oracle.DataChangeEvent',
      iodebeziumop: 'c',
      iodebeziumconnector: 'oracle',
      data: { before: null, after: {} },
    },
    'iodebeziumconnector',
  ],
  [
    'of its schema',
    {
      source: { ...others.oracle, connector: 'oracle' },
      ts_ms: 1,
      ddl: 'create table …',
      tableChanges: [],
    },
    'source.connector',
  ],
] as const)('a change of another database that is %s is called that', ([, message, name]) => {
  expect(readChange(kafkaEvent(message))).toEqual({
    kind: 'invalid',
    reason: 'unsupported-source',
    detail: detailOf('Oracle', name, '"oracle"'),
  });
});

test.for([7, {}, '', 'postgres', 'PostgreSQL'])('connector %j is not supported', (connector) => {
  const message = { ...insert, source: { ...source, connector } };
  expect(readChange(kafkaEvent(message))).toMatchObject({
    reason: 'unsupported-source',
    detail: expect.stringMatching(/^not supported yet: this connector: source.connector is /),
  });
});

test.for([undefined, null])(
  'a change without a connector (%s) is read if it has a position; a snapshot read without one is not',
  (connector) => {
    const unnamed = { ...source, connector };
    expect(readChange(kafkaEvent({ ...insert, source: unnamed }))).toMatchObject({ op: 'c' });
    const read = { ...insert, op: 'r', source: { ...unnamed, lsn: null } };
    expect(readChange(kafkaEvent(read))).toMatchObject({
      reason: 'incomplete-change',
      detail: expect.stringMatching(/^source.connector is (missing|null): postgresql is expected/),
    });
  },
);

test('incremental reads of another database complete no set', async ({ db }) => {
  const pair = defineFunction({
    name: 'pair',
    parts: {
      a: { table: 'dbo.orders', key: 'k', where: { kind: 'a' } },
      b: { table: 'dbo.orders', key: 'k', where: { kind: 'b' } },
    },
    handle() {},
  });
  const server = await serverOn(db, [pair]);
  const of = { ...source, ...others.sqlserver, connector: 'sqlserver', lsn: undefined };
  for (const [id, kind] of ['a', 'b'].entries()) {
    const after = { id, k: 'x', kind };
    const message = { ...insert, op: 'r', after, source: { ...of, snapshot: 'incremental' } };
    expect(await post(server.url, JSON.stringify(message))).toMatchObject({ status: 202 });
  }
  await server.stop();
  expect(await db.query('select reason, count(*)::int as n from muster.parked group by 1')).toEqual(
    [{ reason: 'unsupported-source', n: 2 }],
  );
  expect(await db.query('select * from muster.member')).toEqual([]);
});
