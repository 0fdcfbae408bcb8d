import type pg from 'pg';
import { parseLsn } from './lsn.ts';
import { SourceError } from './source-error.ts';

/** A replication slot in the source. */
export interface Slot {
  readonly isActive: boolean;
  /** Why it can't be read any more; null if it can. */
  readonly lost: string | null;
  /** Everything below it is acknowledged. */
  readonly position: bigint;
  /** Bytes of log that the server retains for it. */
  readonly retained: number;
  /** Whether standbys get a copy of it; null on a server that can't do that (before PostgreSQL 17). */
  readonly hasFailover: boolean | null;
  /**
   * Slots in `synchronized_standby_slots` that no standby uses, or that don't exist: the server sends no change before
   * their standbys have it.
   */
  readonly awaited: readonly string[];
}

/** Columns of `pg_replication_slots`, of which older servers have fewer. */
interface Row {
  readonly slot_type: string;
  readonly plugin: string | null;
  readonly database: string | null;
  readonly active: boolean;
  readonly confirmed_flush_lsn: string | null;
  readonly wal_status: string | null;
  readonly conflicting?: boolean | null;
  readonly invalidation_reason?: string | null;
  readonly failover?: boolean;
  readonly here: string;
  readonly retained: number | null;
  readonly awaited: readonly string[];
}

/** Returns null if there is no slot of this name. Throws if it is not a slot of this database for pgoutput. */
export async function readSlot(client: pg.Client, name: string): Promise<Slot | null> {
  const { rows } = await client.query<{ slot: Row }>(
    `select to_jsonb(s) || jsonb_build_object(
              'here', current_database(),
              'retained', pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn),
              'awaited', array(
                select name
                from regexp_split_to_table(current_setting('synchronized_standby_slots', true), '[ ,"]+') name
                where name <> '' and name not in (select slot_name from pg_replication_slots where active))) as slot
     from pg_replication_slots s where s.slot_name = $1`,
    [name],
  );
  const slot = rows[0]?.slot;
  if (slot === undefined) return null;
  const { slot_type: type, plugin, database, here } = slot;
  if (type !== 'logical' || plugin !== 'pgoutput' || database !== here) {
    throw new SourceError(
      `${name} is a ${type} slot of ${plugin ?? 'no plugin'} in the database ${database ?? '(none)'}, and not one of pgoutput in ${here}: set WAL_SLOT to another name`,
    );
  }
  return {
    isActive: slot.active,
    lost: whyLost(slot),
    position: parseLsn(slot.confirmed_flush_lsn ?? '0/0'),
    retained: slot.retained ?? 0,
    hasFailover: slot.failover ?? null,
    awaited: slot.failover === true ? slot.awaited : [],
  };
}

function whyLost({ wal_status: status, conflicting, invalidation_reason: reason }: Row) {
  if (reason != null) return reason;
  if (status === 'lost') return 'the log that it needs was removed';
  return conflicting === true ? 'it conflicts with recovery' : null;
}

export async function dropSlot(client: pg.Client, name: string): Promise<void> {
  await client.query('select pg_drop_replication_slot($1)', [name]);
}

/** Has the server copy the slot to standbys, so that it survives a failover (PostgreSQL 17). */
export async function enableFailover(replication: pg.Client, name: string): Promise<void> {
  await replication.query(`ALTER_REPLICATION_SLOT "${name}" (FAILOVER true)`);
}
