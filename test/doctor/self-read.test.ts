import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { publication } from '../../src/doctor/source/publication.ts';
import { failover } from '../../src/doctor/source/failover.ts';
import { rights } from '../../src/doctor/source/self-read.ts';
import { slot, type SourceContext } from '../../src/doctor/source/wal.ts';
import { pairOf } from '../support/pair.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { readerOn } from '../support/wal.ts';
import { applyRemedies, inspectorOf, reportOf, sourceOf } from './examination.ts';

const ITEM = 'create table item (id text primary key, k text, kind text)';

function contextOf(db: TestDatabase, name: string): Promise<SourceContext> {
  const names = { publication: name, slot: name, name: `wal:${name}`, reader: 'muster' } as const;
  return sourceOf(db, [pairOf()], names);
}

test('a source that a process reads is fine, and one that none has read is not', async ({ db }) => {
  await db.query(ITEM);
  const reader = await readerOn(db, [pairOf()]);
  const name = reader.slot;
  await reader.reading();
  const context = await contextOf(db, name);
  expect(await reportOf(publication, context)).toEqual([`✓ ${name} publishes public.item`]);
  expect(await reportOf(slot, context)).toEqual([
    expect.stringMatching(
      new RegExp(`^✓ ${name} is read, .* of log retained, no limit \\(max_slot_wal_keep_size\\)$`),
    ),
  ]);
  expect(await reportOf(rights, context)).toEqual([
    '✓ postgres may replicate, and read the tables',
  ]);
  const [version] = await db.query<{ number: number }>(
    `select current_setting('server_version_num')::int as number`,
  );
  expect(await reportOf(failover, context)).toEqual([
    version!.number < 170_000
      ? '✓ slots are not copied to standbys before PostgreSQL 17: after a failover all rows are read again'
      : `✓ ${name} is copied to standbys that have sync_replication_slots`,
  ]);
  await reader.stop();
  expect(await reportOf(slot, context)).toEqual([
    expect.stringMatching(new RegExp(`^✗ nothing reads ${name}: .*, until the disk is full$`)),
  ]);

  const other = await contextOf(db, 'not_there');
  expect(await reportOf(publication, other)).toEqual(['✗ there is no publication not_there']);
  expect(await reportOf(slot, other)).toEqual([
    '✗ there is no slot not_there: no process with INTAKE=wal has read this source',
  ]);
  const lost = { ...other, name: 'wal:lost', state: await inspectorOf(db) };
  await db.query(`insert into muster.source (name, lsn) values ('wal:lost', 1)`);
  expect(await reportOf(slot, lost)).toEqual([
    '✗ there is no slot not_there, although wal:lost has streamed: changes since it was dropped are lost',
  ]);
});

test('the rights that a login lacks are named, and the suggested statements grant them', async ({
  db,
}) => {
  await db.query(ITEM);
  const login = `r_${randomUUID().slice(0, 8)}`;
  const owner = `o_${randomUUID().slice(0, 8)}`;
  await db.query(`create role ${login} login password 'x'; create role ${owner}`);
  await db.query(`grant usage on schema public to ${login}; alter table item owner to ${owner}`);
  const url = new URL(db.url);
  url.username = login;
  url.password = 'x';
  const inspector = await inspectorOf({ url: url.href });
  const context = { ...(await contextOf(db, 'rights')), inspector };
  expect(await reportOf(rights, context)).toEqual([
    `✗ ${login} may not replicate`,
    `✗ ${login} may not create a publication`,
    `✗ ${login} may not publish public.item, which belongs to ${owner}`,
  ]);
  await applyRemedies(rights, context, db);
  expect(await reportOf(rights, context)).toEqual([
    `✓ ${login} may replicate, and read the tables`,
  ]);
  const reader = await readerOn(db, [pairOf()], { source: { ...db, url: url.href } });
  await reader.reading();
});
