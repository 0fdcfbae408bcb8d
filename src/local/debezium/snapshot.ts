import pg from 'pg';
import {
  type LogPosition,
  type Message,
  type Tuple,
  toMessages,
} from '../../intake/wal/envelope.ts';
import { parseLsn } from '../../intake/wal/lsn.ts';
import {
  quoted,
  readTable,
  type SourceTable,
  type SourceTables,
} from '../../intake/wal/source-table.ts';

/** Session settings that make the server format values as {@link Tuple} requires. */
const SESSION = '-c timezone=UTC -c datestyle=ISO -c bytea_output=hex -c extra_float_digits=1';

/** Sends messages. The outer promise resolves when there is room for more, the inner one on delivery. */
export type Deliver = (
  message: Message,
  table: SourceTable,
) => Promise<{ readonly delivered: Promise<void> }>;

/**
 * Creates the replication slot unless it exists, and delivers the rows in the tables at that point as
 * reads (`op` r). The permanent slot is copied from a temporary one once all rows are delivered: after a
 * crash in between there is no slot, and the next start repeats the snapshot.
 */
export async function ensureSlot(
  url: string,
  names: readonly string[],
  slot: string,
  deliver: Deliver,
): Promise<{ tables: SourceTables; position: bigint }> {
  const client = new pg.Client({ connectionString: url, options: SESSION });
  await client.connect();
  try {
    const tables = new Map<string, SourceTable>();
    for (const name of names) tables.set(name, await readTable(client, name));
    if ((await readPosition(client, slot)) === undefined) {
      await ensurePublication(client, names, slot);
      await takeSnapshot(client, url, tables, slot, deliver);
    }
    return { tables, position: parseLsn((await readPosition(client, slot))!) };
  } finally {
    await client.end();
  }
}

/** The position acknowledged to a slot; undefined if the slot doesn't exist. */
async function readPosition(client: pg.Client, slot: string): Promise<string | undefined> {
  const { rows } = await client.query(
    'select confirmed_flush_lsn as position from pg_replication_slots where slot_name = $1',
    [slot],
  );
  return rows[0]?.position;
}

async function ensurePublication(
  client: pg.Client,
  tables: readonly string[],
  name: string,
): Promise<void> {
  const { rowCount } = await client.query('select from pg_publication where pubname = $1', [name]);
  if (rowCount !== 0) return;
  await client.query(`create publication ${name} for table ${tables.map(quoted).join(', ')}`);
}

async function takeSnapshot(
  client: pg.Client,
  url: string,
  tables: SourceTables,
  slot: string,
  deliver: Deliver,
): Promise<void> {
  const temporary = `${slot}_snapshot`;
  const holder = new pg.Client({
    connectionString: url,
    replication: 'database',
  } as pg.ClientConfig);
  await holder.connect(); // the slot and its snapshot live as long as this connection
  try {
    // The replication protocol accepts keywords in upper case only.
    const created = await holder.query(
      `CREATE_REPLICATION_SLOT ${temporary} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')`,
    );
    const { consistent_point: lsn, snapshot_name: snapshot } = created.rows[0];
    await client.query('begin isolation level repeatable read read only');
    await client.query(`set transaction snapshot '${snapshot}'`);
    for (const table of tables.values()) await deliverRows(client, table, parseLsn(lsn), deliver);
    await client.query('commit');
    await client.query('select pg_copy_logical_replication_slot($1, $2, false)', [temporary, slot]);
  } finally {
    await holder.end();
  }
}

async function deliverRows(
  client: pg.Client,
  table: SourceTable,
  lsn: bigint,
  deliver: Deliver,
): Promise<void> {
  const { rows } = await client.query(
    `select (extract(epoch from now()) * 1000000)::bigint as at, pg_snapshot_xmax(pg_current_snapshot())::text as xid`,
  );
  const read = { lsn, lastCommit: null, txId: Number(rows[0].xid), at: BigInt(rows[0].at) };
  const underWay: Promise<void>[] = [];
  const send = async (after: Tuple, snapshot: LogPosition['snapshot']) => {
    for (const message of toMessages({ op: 'r', after }, table, { ...read, snapshot })) {
      const { delivered } = await deliver(message, table);
      delivered.catch(() => {}); // reported below, unless the next one is refused before that
      underWay.push(delivered);
    }
  };

  let held: Tuple | undefined;
  let count = 0;
  for await (const row of readRows(client, table)) {
    if (held) await send(held, count++ === 0 ? 'first' : 'true');
    held = row;
  }
  if (held) await send(held, 'last');
  await Promise.all(underWay);
}

async function* readRows(client: pg.Client, { schema, name }: SourceTable): AsyncGenerator<Tuple> {
  await client.query(
    `declare captured no scroll cursor for select * from ${quoted(`${schema}.${name}`)}`,
  );
  const types = { getTypeParser: () => (text: string) => text };
  for (;;) {
    const { rows } = await client.query({ text: 'fetch 200 from captured', types });
    if (rows.length === 0) break;
    yield* rows;
  }
  await client.query('close captured');
}
