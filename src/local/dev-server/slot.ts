import pg from 'pg';
import { withClient } from '../with-client.ts';

/** Slots whose names begin with a prefix and that nobody reads. */
export async function leftSlots(url: string, prefix: string): Promise<string[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select slot_name as name from pg_replication_slots
       where starts_with(slot_name, $1) and not active and database = current_database() order by 1`,
      [prefix],
    );
    return rows.map(({ name }) => name);
  });
}

/** Drops a slot and the publication of its name. Returns false, and drops nothing, while somebody reads the slot. */
export async function dropSlot(url: string, slot: string): Promise<boolean> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ active: boolean }>(
      'select active from pg_replication_slots where slot_name = $1',
      [slot],
    );
    if (rows[0]?.active === true) return false;
    if (rows.length > 0) await client.query('select pg_drop_replication_slot($1)', [slot]);
    await client.query(`drop publication if exists ${pg.escapeIdentifier(slot)}`);
    return true;
  });
}
