import { expect } from 'vitest';
import { slot } from '../../src/doctor/source/source.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { applyRemedies, reportOf, sourceOf } from '../doctor/examination.ts';
import { install } from '../support/server.ts';
import { databaseAt } from '../support/test.ts';
import { until } from '../support/until.ts';
import type { Road } from './support/road.ts';
import { test as base } from './support/test.ts';

const LIMIT = { timeout: 180_000 };

/** On a server of its own, whose slots are lost once they hold more than a segment of the log. */
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

/** Writes more log than the slot may hold; the connector is away. */
async function loseSlot(road: Road): Promise<void> {
  await until(async () => {
    await road.db.query(`select pg_logical_emit_message(false, 'fill', 'x')`);
    await road.db.query('select pg_switch_wal()');
    await road.db.query('checkpoint');
    return (await statusOf(road)) === 'lost';
  });
}

/** Lets what was ingested be older than a minute: a read so close to a change is taken for the older one. */
async function aged(road: Road, rows: number): Promise<void> {
  await until(async () => (await road.db.query('select from muster.member')).length >= rows);
  await road.db.query('update muster.member set at = at - 61000');
}

/** What the slot is said to be, as the doctor looks at it with the state database. */
async function examination(road: Road) {
  const context = await sourceOf(road.db, [], { slot: road.name, name: road.name });
  return { ...context, state: context.inspector };
}

test.for(['when_needed', 'initial'])(
  'a slot that was lost is made anew by what the doctor says, with snapshot.mode %s before, and nothing runs twice',
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
    expect(await reportOf(slot, context)).toEqual([
      `✗ ${road.name} is lost: the log it needs was removed, and changes with it`,
    ]);

    const [finding] = await slot.run(context);
    const [setting, statement] = finding!.remedy!.split('\n');
    expect(setting).toMatch(/^snapshot\.mode=when_needed for the connector/);
    expect(statement).toMatch(/^select pg_drop_replication_slot/);
    connect.configure(road.connector({ 'snapshot.mode': 'when_needed' }));
    const restarted = connect.restart(); // it tries again until its slot is dropped
    await applyRemedies(slot, context, road.db);
    await restarted;

    expect(await road.settled()).toMatchObject({ processed: 5, twice: 0, missing: 0 });
    expect(await reportOf(slot, context)).toEqual([expect.stringMatching(/^✓ \w+ is read/)]);
    expect(await road.db.query('select reason, detail from muster.parked')).toEqual([]);
  },
);

test(
  'a slot that was dropped is made anew when the connector restarts',
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
    expect(await reportOf(slot, context)).toEqual([
      `✗ there is no slot ${road.name}, although ${road.name} has streamed: changes since it was dropped were not sent`,
    ]);
    await connect.restart();

    expect(await road.settled()).toMatchObject({ processed: 4, twice: 0, missing: 0 });
    expect(await reportOf(slot, context)).toEqual([expect.stringMatching(/^✓ \w+ is read/)]);
  },
);
