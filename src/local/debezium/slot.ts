import pg from 'pg';

/** Tables of the publication of a slot, sorted, each as `schema.table`; null if there is no slot. */
export async function slotTables(url: string, slot: string): Promise<string[] | null> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ tables: string[] }>(
      `select array(select schemaname || '.' || tablename from pg_publication_tables
                    where pubname = $1 order by 1) as tables
       from pg_replication_slots where slot_name = $1`,
      [slot],
    );
    return rows[0]?.tables ?? null;
  });
}

/** Drops a slot, if nobody reads it, and the publication of its name. */
export async function dropSlot(url: string, slot: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query(
      'select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active',
      [slot],
    );
    await client.query(`drop publication if exists ${pg.escapeIdentifier(slot)}`);
  });
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(url);
  await client.connect();
  return work(client).finally(() => client.end());
}
