import { expect } from 'vitest';
import { slot } from '../../src/doctor/source/source.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { mend, says, sourceOf } from '../doctor/examination.ts';
import { install } from '../support/server.ts';
import { databaseAt } from '../support/test.ts';
import { until } from '../support/until.ts';
import type { Road } from './support/road.ts';
import { test as base } from './support/test.ts';

const LIMIT = { timeout: 180_000 };

/** Uses its own server, whose slots are lost once they retain more than a segment of WAL. */
const test = base.extend('db', async ({}, { onCleanup }) => {
  const settings = ['max_slot_wal_keep_size=16MB', 'min_wal_size=32MB', 'max_wal_size=32MB'];
  const { server, url, remove } = await install(settings.flatMap((each) => ['-c', each]));
  await server.start();
  await migrate(`${url}/postgres`, ['recordings']);
  const { db, close } = databaseAt(`${url}/postgres`);
  onCleanup(async () => {
    await close();
    await server.stop();
    await remove();
  });
  return db;
});

async function statusOf(road: Road): Promise<string | undefined> {
  const [found] = await road.db.query<{ status: string }>(
    'select wal_status as status from pg_replication_slots where slot_name = $1',
    [road.name],
  );
  return found?.status;
}

/** Writes more WAL than the slot can retain, while the connector is down. */
async function loseSlot(road: Road): Promise<void> {
  await until(async () => {
    await road.db.query(`select pg_logical_emit_message(false, 'fill', 'x')`);
    await road.db.query('select pg_switch_wal()');
    await road.db.query('checkpoint');
    return (await statusOf(road)) === 'lost';
  });
}

/** Makes ingested rows older than a minute: a read closer to a change than that counts as older. */
async function aged(road: Road, rows: number): Promise<void> {
  await until(async () => (await road.db.query('select from muster.member')).length >= rows);
  await road.db.query('update muster.member set at = at - 61000');
}

/** Returns the doctor's result about the slot, checked with the state database. */
async function examination(road: Road) {
  const context = await sourceOf(road.db, [], { slot: road.name, name: road.name });
  return { ...context, state: context.inspector };
}

test.for(['when_needed', 'initial'])(
  'a lost slot is recreated by following the doctor, with snapshot.mode %s before, and nothing runs twice',
  LIMIT,
  async (mode, { road }) => {
    await road.prepare();
    await road.startSource();
    const connect = await road.ownConnect({ 'snapshot.mode': mode });
    const [before, during] = road.pair();
    const [moved, met] = road.pair();
    await road.insert(...road.pair(), before, { ...moved, span: '[1,2)' });
    await road.processed(1);
    await aged(road, 4);
    await connect.kill();
    await road.insert(during, ...road.pair(), met);
    await road.client.query('update datastore.signal set span = $1 where id = $2', [
      moved.span,
      moved.id,
    ]);
    await loseSlot(road);
    const context = await examination(road);
    expect(await says(slot, context)).toEqual([
      `✗ ${road.name} is lost: the log it needs is gone, and with it changes`,
    ]);

    const [finding] = await slot.run(context);
    const [setting, statement] = finding!.mend!.split('\n');
    expect(setting).toMatch(/^snapshot\.mode=when_needed for the connector/);
    expect(statement).toMatch(/^select pg_drop_replication_slot/);
    connect.configure(road.connector({ 'snapshot.mode': 'when_needed' }));
    const restarted = connect.restart(); // it retries until its slot is dropped
    await mend(slot, context, road.db);
    await restarted;

    expect(await road.settled()).toMatchObject({ processed: 5, twice: 0, missing: 0 });
    expect(await says(slot, context)).toEqual([expect.stringMatching(/^✓ \w+ is read/)]);
    expect(await road.db.query('select reason, detail from muster.parked')).toEqual([]);
  },
);

test(
  'a dropped slot is recreated when the connector restarts',
  LIMIT,
  async ({ road }) => {
    await road.prepare();
    await road.startSource();
    const connect = await road.ownConnect();
    const [before, during] = road.pair();
    await road.insert(...road.pair(), before);
    await road.processed(1);
    await connect.kill();
    await road.dropSlot();
    await road.insert(during, ...road.pair());
    const context = await examination(road);
    expect(await says(slot, context)).toEqual([
      `✗ there is no slot ${road.name}, though ${road.name} has streamed: what was written since it went is not in any event`,
    ]);
    await connect.restart();

    expect(await road.settled()).toMatchObject({ processed: 4, twice: 0, missing: 0 });
    expect(await says(slot, context)).toEqual([expect.stringMatching(/^✓ \w+ is read/)]);
  },
);
