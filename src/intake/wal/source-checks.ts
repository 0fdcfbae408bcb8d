/** What is checked before a slot is read: each of these would lose changes, or hide that they are lost. */
import type pg from 'pg';
import { formatLsn, parseLsn } from './lsn.ts';
import { functionsOf } from './publication.ts';
import type { Slot } from './slot.ts';
import { SourceError } from './source-error.ts';

/** Requires a server with logical decoding that is not a standby. */
export async function requirePrimary(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ isStandby: boolean; level: string }>(
    `select pg_is_in_recovery() as "isStandby", current_setting('wal_level') as level`,
  );
  const { isStandby, level } = rows[0]!;
  if (isStandby) {
    throw new SourceError('the server of SOURCE_DATABASE_URL is a standby: name its primary');
  }
  if (level !== 'logical') {
    throw new SourceError(
      `wal_level of the source is ${level}, so its log does not contain the changed rows: run 'alter system set wal_level = logical' there, and restart the server`,
    );
  }
}

/** Refuses to wait behind a process that reads the slot for other functions: this one would never get its changes. */
export async function requireSameFunctions(
  client: pg.Client,
  name: string,
  functions: readonly string[],
): Promise<void> {
  const others = await functionsOf(client, name);
  if (others.length === 0) return;
  const isPart = others.every((each) => functions.includes(each));
  const isWhole = functions.every((each) => others.includes(each));
  if (isPart || isWhole) return;
  throw new SourceError(
    `the slot ${name} is read for other functions (${others.join(', ')}): set WAL_SLOT to another name, or serve all functions by the same processes`,
  );
}

/** A slot that this state has read nothing from: what it has passed is missing here. */
export function foreignSlot(name: string): SourceError {
  return new SourceError(
    `there is a slot ${name} in the source, from which nothing is known here. If a connector or another installation uses it, set WAL_SLOT to another name; if the state database is new, run select pg_drop_replication_slot('${name}') there, and all rows are read`,
  );
}

/** Refuses a source whose log ends before what was ingested: its changes would look older than those that are known. */
export async function requireContinuation(
  client: pg.Client,
  name: string,
  source: string,
  ingested: bigint,
): Promise<void> {
  const { rows } = await client.query<{ end: string }>('select pg_current_wal_lsn() as end');
  const end = parseLsn(rows[0]!.end);
  if (ingested <= end) return;
  throw new SourceError(
    `the log of the source ends at ${formatLsn(end)}, but was ingested up to ${formatLsn(ingested)}: it was restored, or failed over to a standby that lacked the newest changes. To read all rows again, drop its replication slot ${name} if there is one, and run: muster epoch bump ${source}`,
  );
}

/** Returns why changes are missing between what was ingested and what the slot has; null if none are. */
export function whyUseless(
  slot: Slot | null,
  isNewPublication: boolean,
  ingested: bigint,
): string | null {
  if (slot === null) return ingested > 0n ? 'the slot was dropped' : null;
  if (slot.lost !== null) return `the slot is lost: ${slot.lost}`;
  return isNewPublication ? 'the publication was dropped' : null;
}

/** Why the server sends nothing although it has changes. */
export function whyHeldBack(awaited: readonly string[]): string {
  return `the source sends no change before the standby of the slot ${awaited.join(', ')} has it, and that is not connected: start it, or remove the slot from synchronized_standby_slots`;
}
