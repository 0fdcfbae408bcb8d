/** The manifests of the upstream systems have the same settings as the demo and the tests. */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { CONNECTOR, SIGNAL_TABLE, TOPIC } from '../../dev/stack/connector.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { grantRoles } from '../../src/state/schema/roles.ts';
import { install } from '../support/server.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const FOLDER = 'knative/upstream/datastore';

test('the connector has the settings of the tested one', () => {
  const { spec } = parse(read('knative/upstream/connect/connector.yaml'));
  const own = /^(database|topic\.creation)\./;
  const config = Object.entries(spec.config).filter(([name]) => !own.test(name));
  const same = [
    ['connector.class', spec.class],
    ['tasks.max', String(spec.tasksMax)],
    ...config.map(([name, value]) => [name, String(value)]),
  ];
  expect(Object.fromEntries(same)).toEqual(CONNECTOR);
});

test('the topic of changes is the one that the connector writes', () => {
  const source = parse(read('knative/base/recordings/source/kafka-source.yaml'));
  const topic = parse(read('knative/components/topics/signal.yaml'));
  expect([source.spec.topics, topic.metadata.name]).toEqual([[TOPIC], TOPIC]);
});

test('the tables are those of the demo', () => {
  expect(read(`${FOLDER}/1-datastore.sql`)).toBe(read('dev/demo/datastore.sql'));
  const statements = read(`${FOLDER}/2-debezium.sql`).replaceAll(/^--.*\n/gm, '');
  expect(statements.trim()).toBe(SIGNAL_TABLE.trim());
});

test('every login role has only the privileges it needs', async () => {
  const { server, url, remove } = await install();
  await server.start();
  onTestFinished(async () => {
    await server.stop();
    await remove();
  });
  await using('postgres', 'postgres', (admin) => admin.query('create database app'));
  await using('postgres', 'app', async (admin) => {
    for (const file of ['1-datastore', '2-debezium', '3-roles']) {
      // psql's variables, which come from the Secret
      const sql = read(`${FOLDER}/${file}.sql`)
        .replaceAll(/^\\getenv .*$/gm, '')
        .replaceAll(/:'\w+'/g, `'postgres'`);
      await admin.query(sql);
    }
  });

  const insert = `insert into datastore.signal (recording, span) values (gen_random_uuid(), '[0,1)')`;
  await using('headband', 'app', (client) => client.query(insert));
  await using('debezium', 'app', async (client) => {
    const table = CONNECTOR['table.include.list'];
    await client.query(`create publication muster for table ${table}, debezium.dbz_signal`);
    await client.query(`alter publication muster set table ${table}, debezium.dbz_signal`);
    expect((await client.query(`select from ${table}`)).rowCount).toBe(1);
    await client.query(CONNECTOR['heartbeat.action.query']);
    await client.query(`select pg_create_logical_replication_slot('muster', 'pgoutput')`);
  });
  expect(await migrate(urlOf('migrate', 'app'), ['recordings'])).toContain('001_tables');
  expect(await grantRoles(urlOf('migrate', 'app'), ['recordings'])).toEqual([]);
  await using('serve', 'app', async (client) => {
    expect((await client.query('select from datastore.signal')).rowCount).toBe(1);
    await client.query('select from recordings.processed');
    await expect(client.query(insert)).rejects.toThrow('permission denied');
  });
  await using('console', 'app', async (client) => {
    await client.query('select from muster.set_status');
    await expect(client.query('delete from muster.sets')).rejects.toThrow('permission denied');
  });
  const { spec } = parse(read('keda/recordings.yaml'));
  await using('keda', 'app', async (client) => {
    await client.query(spec.triggers[1].metadata.query);
    await expect(client.query('select from muster.run')).rejects.toThrow('permission denied');
  });

  function urlOf(user: string, database: string): string {
    const login = new URL(`${url}/${database}`);
    login.username = user;
    return login.href;
  }

  async function using(
    user: string,
    database: string,
    work: (client: pg.Client) => Promise<unknown>,
  ): Promise<void> {
    const client = new pg.Client(urlOf(user, database));
    await client.connect();
    await work(client).finally(() => client.end());
  }
});
