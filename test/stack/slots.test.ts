import { expect } from 'vitest';
import { slot } from '../../src/doctor/source/wal.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { applyRemedies, reportOf, sourceOf } from '../doctor/examination.ts';
import { install } from '../support/server.ts';
import { databaseAt } from '../support/test.ts';
import { until } from '../support/until.ts';
import type { Pipeline } from './support/pipeline.ts';
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

async function statusOf(pipeline: Pipeline): Promise<string | undefined> {
  const [found] = await pipeline.db.query<{ status: string }>(
    'select wal_status as status from pg_replication_slots where slot_name = $1',
    [pipeline.name],
  );
  return found?.status;
}

/** Writes more WAL than the slot can retain, while the connector is down. */
async function loseSlot(pipeline: Pipeline): Promise<void> {
  await until(async () => {
    await pipeline.db.query(`select pg_logical_emit_message(false, 'fill', 'x')`);
    await pipeline.db.query('select pg_switch_wal()');
    await pipeline.db.query('checkpoint');
    return (await statusOf(pipeline)) === 'lost';
  });
}

/** Makes ingested rows older than a minute: a read closer to a change than that counts as older. */
async function aged(pipeline: Pipeline, rows: number): Promise<void> {
  await until(async () => (await pipeline.db.query('select from muster.member')).length >= rows);
  await pipeline.db.query('update muster.member set at = at - 61000');
}

/** Returns the doctor's result about the slot, checked with the state database. */
async function examination(pipeline: Pipeline) {
  const context = await sourceOf(pipeline.db, [], { slot: pipeline.name, name: pipeline.name });
  return { ...context, state: context.inspector };
}

test.for(['when_needed', 'initial'])(
  'a lost slot is recreated by following the doctor, with snapshot.mode %s before, and nothing runs twice',
  LIMIT,
  async (mode, { pipeline }) => {
    await pipeline.prepare();
    await pipeline.startSource();
    const connect = await pipeline.ownConnect({ 'snapshot.mode': mode });
    const [before, during] = pipeline.pair();
    const [moved, met] = pipeline.pair();
    await pipeline.insert(...pipeline.pair(), before, { ...moved, span: '[1,2)' });
    await pipeline.processed(1);
    await aged(pipeline, 4);
    await connect.kill();
    await pipeline.insert(during, ...pipeline.pair(), met);
    await pipeline.client.query('update datastore.signal set span = $1 where id = $2', [
      moved.span,
      moved.id,
    ]);
    await loseSlot(pipeline);
    const context = await examination(pipeline);
    expect(await reportOf(slot, context)).toEqual([
      `✗ ${pipeline.name} is lost: the log it needs was removed, and changes with it`,
    ]);

    const [finding] = await slot.run(context);
    const [setting, statement] = finding!.remedy!.split('\n');
    expect(setting).toMatch(/^snapshot\.mode=when_needed for the connector/);
    expect(statement).toMatch(/^select pg_drop_replication_slot/);
    connect.configure(pipeline.connector({ 'snapshot.mode': 'when_needed' }));
    const restarted = connect.restart(); // it tries again until its slot is dropped
    await applyRemedies(slot, context, pipeline.db);
    await restarted;

    expect(await pipeline.settled()).toMatchObject({ processed: 5, twice: 0, missing: 0 });
    expect(await reportOf(slot, context)).toEqual([expect.stringMatching(/^✓ \w+ is read/)]);
    expect(await pipeline.db.query('select reason, detail from muster.parked')).toEqual([]);
  },
);

test('a dropped slot is recreated when the connector restarts', LIMIT, async ({ pipeline }) => {
  await pipeline.prepare();
  await pipeline.startSource();
  const connect = await pipeline.ownConnect();
  const [before, during] = pipeline.pair();
  await pipeline.insert(...pipeline.pair(), before);
  await pipeline.processed(1);
  await connect.kill();
  await pipeline.dropSlot();
  await pipeline.insert(during, ...pipeline.pair());
  const context = await examination(pipeline);
  expect(await reportOf(slot, context)).toEqual([
    `✗ there is no slot ${pipeline.name}, although ${pipeline.name} has streamed: changes since it was dropped were not sent`,
  ]);
  await connect.restart();

  expect(await pipeline.settled()).toMatchObject({ processed: 4, twice: 0, missing: 0 });
  expect(await reportOf(slot, context)).toEqual([expect.stringMatching(/^✓ \w+ is read/)]);
});
