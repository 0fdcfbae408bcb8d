import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { defineFunction } from '../../src/function.ts';
import { serverOn, type TestEngine } from '../support/engine.ts';
import { deliver, envelope, post } from '../support/sender.ts';
import { test as base, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

/** A database to which Muster connects with a role whose privileges can be restricted. */
interface Faulty {
  readonly role: string;
  /** Handlers of sets whose key begins with `gated` wait for this. */
  readonly open: () => void;
  readonly serve: (settings?: Record<string, string>) => Promise<TestEngine & { url: string }>;
  /** Terminates every connection of Muster, as a restart of the server does. */
  readonly terminate: () => Promise<void>;
}

const test = base.extend<{ faulty: Faulty }>({
  faulty: async ({ db }, use) => {
    const role = `muster_${randomUUID().replaceAll('-', '')}`;
    await db.query('create table effect (run text not null)');
    await db.query(`
      create role ${role} login password 'muster';
      grant usage on schema muster to ${role};
      grant all on all tables in schema muster, public to ${role};
      grant all on all sequences in schema muster to ${role};
    `);
    const gate = Promise.withResolvers<void>();
    const pair = defineFunction({
      name: 'pair',
      parts: {
        a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
        b: { table: 'public.item', key: 'k', where: { kind: 'b' } },
      },
      retry: { attempts: 1000, first: '100 milliseconds', max: '100 milliseconds' },
      async handle(set, { tx, runId }) {
        await tx.query('insert into effect values ($1)', [runId]);
        if (set.keyText.startsWith('gated')) await gate.promise;
      },
    });
    const url = new URL(db.url);
    url.username = role;
    url.password = 'muster';
    const engines: TestEngine[] = [];
    await use({
      role,
      open: gate.resolve,
      async serve(settings = {}) {
        const server = await serverOn({ ...db, url: url.href }, [pair], settings);
        engines.push(server);
        return server;
      },
      async terminate() {
        await db.query(
          'select pg_terminate_backend(pid) from pg_stat_activity where usename = $1',
          [role],
        );
      },
    });
    gate.resolve();
    await Promise.all(engines.map((engine) => engine.stop()));
  },
});

const part = (k: string, kind: string, lsn: number) =>
  envelope('c', lsn, { id: k + kind, k, kind });

/** Faults, with the repair of each. */
type Fault = (db: TestDatabase, faulty: Faulty) => Promise<() => Promise<unknown>>;

const faults: Record<string, Fault> = {
  'takes no more connections (53300)': async (db, { role, terminate }) => {
    await db.query(`alter role ${role} connection limit 0`);
    await terminate();
    return () => db.query(`alter role ${role} connection limit -1`);
  },
  'is read-only (25006)': async (db, { role, terminate }) => {
    await db.query(`alter role ${role} set default_transaction_read_only = on`);
    await terminate();
    return () => db.query(`alter role ${role} reset default_transaction_read_only`);
  },
  'does not answer in time (57014)': async (db) => {
    const holder = await db.pool.connect();
    await holder.query('begin');
    await holder.query('lock table muster.member in access exclusive mode');
    return async () => {
      await holder.query('rollback');
      holder.release();
    };
  },
  'denies permission (42501)': async (db, { role }) => {
    await db.query(`revoke all on all tables in schema muster from ${role}`);
    return () => db.query(`grant all on all tables in schema muster to ${role}`);
  },
  'has no space left (53100)': async (db) => {
    await db.query(`
      create function public.disk_full() returns trigger language plpgsql as
        $$ begin raise 'could not extend file' using errcode = '53100'; end $$;
      create trigger disk_full before insert or update on muster.member execute function public.disk_full();
    `);
    return () => db.query('drop function public.disk_full cascade');
  },
};

test.for(Object.entries(faults))(
  'while Postgres %s events are answered 503; then all goes on by itself, once',
  async ([, fault], { db, faulty }) => {
    const { url } = await faulty.serve({ STATEMENT_TIMEOUT_SECONDS: '1' });
    await deliver(() => url, part('gated', 'a', 1));
    await deliver(() => url, part('gated', 'b', 2));
    await deliver(() => url, part('x', 'a', 3));
    await until(
      async () => (await db.query(`select from muster.run where state = 'running'`)).length === 1,
    );

    const repair = await fault(db, faulty);
    expect(await post(url, part('x', 'b', 4))).toEqual({ status: 503, reason: 'database' });
    faulty.open(); // the open transaction may have been lost with its connection
    await repair();
    await deliver(() => url, part('x', 'b', 4));

    await until(
      async () => (await db.query(`select from muster.run where state = 'done'`)).length === 2,
    );
    expect(await db.query('select run from effect order by run')).toEqual([
      { run: 'pair/gated/1' },
      { run: 'pair/x/1' },
    ]);
    expect(await db.query('select reason from muster.parked')).toEqual([]);
  },
);

test('connections that the server terminates (57P01) answer 503 and are reopened', async ({
  db,
  faulty,
}) => {
  const { url } = await faulty.serve();
  await deliver(() => url, part('gated', 'a', 1));
  await deliver(() => url, part('gated', 'b', 2));
  const holder = await db.pool.connect();
  await holder.query('begin');
  await holder.query('lock table muster.member in exclusive mode');
  const answer = post(url, part('x', 'a', 3));
  await until(
    async () =>
      (
        await db.query(
          `select from pg_stat_activity where usename = $1 and wait_event_type = 'Lock'`,
          [faulty.role],
        )
      ).length === 1,
  );
  await faulty.terminate();
  expect(await answer).toEqual({ status: 503, reason: 'database' });
  await holder.query('rollback');
  holder.release();
  expect(await deliver(() => url, part('x', 'a', 3))).toEqual([{ status: 204, reason: null }]);
  faulty.open();
  await until(
    async () => (await db.query(`select from muster.run where state = 'done'`)).length === 1,
  );
  expect(await db.query('select run from effect')).toEqual([{ run: 'pair/gated/1' }]);
});
