import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { CLOCK_MARGIN_MS } from '../../state/version.ts';
import { selectOf, type CapturedTable } from './captured-table.ts';
import { connect } from './connection.ts';
import type { Delivery } from './delivery.ts';
import type { LogPosition } from './envelope.ts';
import { parseLsn } from './lsn.ts';
import type { Values } from './pgoutput.ts';
import { toReadChange } from './row-changes.ts';

const PAGE = 500;

export interface SnapshotOptions {
  readonly url: string;
  /** Name of the slot, which begins the name of the temporary one. */
  readonly slot: string;
  /** `source.name` of the changes. */
  readonly source: string;
  readonly tables: readonly CapturedTable[];
  /** `initial` creates the slot when all rows are delivered; `incremental` leaves it as it is. */
  readonly kind: 'initial' | 'incremental';
  readonly delivery: Delivery;
}

/**
 * Delivers the rows of tables as reads, as they are at one position of the log. With `initial`, the slot begins at
 * that position. It is copied from a temporary one once all rows are delivered: after a crash in between there is no
 * slot, and the next start repeats the snapshot.
 *
 * A logical slot begins where all transactions have ended that ran at its creation. So a table that was published
 * before has every later transaction's changes in the log, and the snapshot those of the earlier ones.
 *
 * Resolves with the time of the reads, epoch ms.
 */
export async function takeSnapshot(client: pg.Client, options: SnapshotOptions): Promise<number> {
  const { url, slot, tables, kind, delivery } = options;
  const temporary = `${slot}_${randomUUID().slice(0, 8)}`;
  const holder = await connect(url, `muster ${slot}`, true); // the temporary slot lives as long as this
  client.once('end', () => void holder.end().catch(() => {})); // a stop need not wait for open transactions
  try {
    const { rows } = await holder.query<{ consistent_point: string; snapshot_name: string }>(
      `CREATE_REPLICATION_SLOT "${temporary}" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')`,
    );
    const { consistent_point: lsn, snapshot_name: snapshot } = rows[0]!;
    await client.query('begin isolation level repeatable read read only');
    await client.query(`set transaction snapshot '${snapshot}'`);
    const at = await placeOf(client, parseLsn(lsn), kind);
    for (const table of tables) await readTable(client, table, at, options);
    await delivery.drained();
    await client.query('commit');
    if (kind === 'initial') {
      await client.query('select pg_copy_logical_replication_slot($1, $2, false)', [
        temporary,
        slot,
      ]);
    }
    return Number(at.at / 1000n);
  } finally {
    await holder.end().catch(() => {});
  }
}

async function readTable(
  client: pg.Client,
  table: CapturedTable,
  at: LogPosition,
  { source, delivery }: SnapshotOptions,
): Promise<void> {
  await client.query(`declare captured no scroll cursor for ${selectOf(table)}`);
  const types = { getTypeParser: () => (text: string) => text };
  for (;;) {
    await delivery.room();
    const { rows } = await client.query<Values>({
      text: `fetch ${PAGE} from captured`,
      rowMode: 'array',
      types,
    } as pg.QueryArrayConfig);
    if (rows.length === 0) break;
    for (const row of rows) {
      const bytes = row.reduce((sum, value) => sum + (value?.length ?? 0), 0);
      delivery.push(toReadChange(row, table, at, source), bytes, () => {});
    }
  }
  await client.query('close captured');
}

/**
 * Returns the position of the reads. A read counts as newer than a change if it is by position and its time is more
 * than the margin later, since the clocks of a connector and its source may differ. Here both times are of one
 * clock, and the position of a change is that of its commit, so the position alone decides: the margin is added.
 */
async function placeOf(client: pg.Client, lsn: bigint, kind: string): Promise<LogPosition> {
  const { rows } = await client.query<{ at: string; xid: string }>(
    `select (extract(epoch from now()) * 1000000)::bigint as at, pg_snapshot_xmax(pg_current_snapshot())::text as xid`,
  );
  const { at, xid } = rows[0]!;
  return {
    lsn,
    lastCommit: null,
    txId: Number(xid),
    at: BigInt(at) + BigInt(CLOCK_MARGIN_MS + 1) * 1000n,
    snapshot: kind === 'initial' ? 'true' : 'incremental',
  };
}
