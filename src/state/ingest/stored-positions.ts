/** The newest positions of sources, as processes keep them and tell each other of them. */
import type { Database } from '../database/database.ts';
import type { EpochsOfSource } from './epochs.ts';
import { gtidsOf, storedGtids, type Gtids, type StoredGtids } from './gtids.ts';
import type { NewestPosition } from './position-jump.ts';

/** The newest position seen of one source. */
export interface LogPosition extends EpochsOfSource, NewestPosition {
  id: number;
  lsn: bigint;
  at: number;
  handledAt: number;
  /** When the connector handled the first streamed change; null = none yet. */
  streamedAt: number | null;
  /** Lowest position of a streamed change; null = none yet. */
  streamedLsn: bigint | null;
  gtids: Map<string, bigint>;
  restartedAt: number | null;
  dirty: boolean;
}

/** Of each server, the highest number that is stored or was seen here. */
const NEWEST_GTIDS = `(
  select coalesce(jsonb_object_agg(server, number), '{}') from (
    select server, max(number::numeric)::text as number
    from (select * from jsonb_each_text(s.gtids) union all select * from jsonb_each_text(m.gtids)) each (server, number)
    group by server) newest)`;

/** Writes positions by the names of their sources, as far as these are still in the same epoch. */
export async function writePositions(
  database: Database,
  dirty: readonly (readonly [string, LogPosition])[],
): Promise<void> {
  await database.control.query(
    `with mine as materialized (
       select s.name as source, m.* from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::jsonb[])
                 as m (name, epoch, lsn, at, handled_at, streamed_at, streamed_lsn, restarted_at, gtids)
       join muster.source s on s.name = m.name and s.epoch = m.epoch
       order by s.name for update of s
     )
     update muster.source s
     set lsn = greatest(s.lsn, m.lsn), at = greatest(s.at, m.at), handled_at = greatest(s.handled_at, m.handled_at),
         streamed_at = least(s.streamed_at, m.streamed_at), streamed_lsn = least(s.streamed_lsn, m.streamed_lsn),
         restarted_at = least(s.restarted_at, m.restarted_at), gtids = ${NEWEST_GTIDS}, updated_at = now()
     from mine m where s.name = m.source`,
    [
      dirty.map(([name]) => name),
      dirty.map(([, position]) => position.firstEpoch + position.boundaries.length),
      dirty.map(([, position]) => position.lsn),
      dirty.map(([, position]) => position.at),
      dirty.map(([, position]) => position.handledAt),
      dirty.map(([, position]) => position.streamedAt),
      dirty.map(([, position]) => position.streamedLsn),
      dirty.map(([, position]) => position.restartedAt),
      dirty.map(([, position]) => JSON.stringify(storedGtids(position.gtids))),
    ],
  );
}

/** Returns the stored positions by the names of their sources. */
export async function readPositions(database: Database): Promise<Map<string, LogPosition>> {
  const { rows } = await database.control.query<StoredSource>(
    `select name, id, first_epoch as "firstEpoch", epochs, lsn, at, handled_at as "handledAt", streamed_at as "streamedAt",
            streamed_lsn as "streamedLsn", restarted_at as "restartedAt", gtids from muster.source`,
  );
  return new Map(rows.map((row) => [row.name, fromRow(row)]));
}

/** Returns what is known of a source, from its position in this process and the stored one. */
export function merged(mine: LogPosition | undefined, stored: LogPosition): LogPosition {
  const isOther =
    mine === undefined ||
    mine.id !== stored.id ||
    mine.firstEpoch !== stored.firstEpoch ||
    mine.boundaries.length !== stored.boundaries.length;
  if (isOther) {
    if (mine !== undefined && hasFailedOver(mine, stored)) {
      // what this process has seen and not yet written
      stored.dirty = raiseGtids(stored.gtids, mine.gtids);
    }
    return stored;
  }
  if (mine.lsn < stored.lsn) mine.lsn = stored.lsn;
  mine.at = Math.max(mine.at, stored.at);
  mine.handledAt = Math.max(mine.handledAt, stored.handledAt);
  mine.streamedAt = least(mine.streamedAt, stored.streamedAt);
  mine.streamedLsn = least(mine.streamedLsn, stored.streamedLsn);
  mine.restartedAt = least(mine.restartedAt, stored.restartedAt);
  raiseGtids(mine.gtids, stored.gtids);
  return mine;
}

/** Whether a source has failed over since `mine` was read, and its transactions are numbered as before. */
function hasFailedOver(mine: LogPosition, stored: LogPosition): boolean {
  const since = stored.boundaries.slice(mine.boundaries.length);
  return (
    mine.id === stored.id &&
    mine.firstEpoch === stored.firstEpoch &&
    since.length > 0 &&
    since.every(({ failover }) => failover !== undefined)
  );
}

/** Returns whether a number is higher than before. */
function raiseGtids(gtids: Map<string, bigint>, others: Gtids): boolean {
  const higher = [...others].filter(([key, number]) => number > (gtids.get(key) ?? -1n));
  for (const [key, number] of higher) gtids.set(key, number);
  return higher.length > 0;
}

interface StoredSource {
  name: string;
  id: number;
  firstEpoch: number;
  epochs: {
    beganAt: number;
    endedAt: number;
    endedLsn: string;
    failover?: {
      beganAt: number;
      endedAt: number;
      beganLsn: string;
      gtids: StoredGtids;
      server: string;
    };
  }[];
  lsn: string;
  at: string;
  handledAt: string;
  streamedAt: string | null;
  streamedLsn: string | null;
  restartedAt: string | null;
  gtids: StoredGtids;
}

function fromRow(row: StoredSource): LogPosition {
  return {
    id: row.id,
    firstEpoch: row.firstEpoch,
    boundaries: row.epochs.map(({ endedLsn, failover, ...times }) => ({
      ...times,
      endedLsn: BigInt(endedLsn),
      ...(failover && {
        failover: {
          ...failover,
          beganLsn: BigInt(failover.beganLsn),
          gtids: gtidsOf(failover.gtids),
        },
      }),
    })),
    lsn: BigInt(row.lsn),
    at: Number(row.at),
    handledAt: Number(row.handledAt),
    streamedAt: row.streamedAt === null ? null : Number(row.streamedAt),
    streamedLsn: row.streamedLsn === null ? null : BigInt(row.streamedLsn),
    restartedAt: row.restartedAt === null ? null : Number(row.restartedAt),
    gtids: gtidsOf(row.gtids),
    dirty: false,
  };
}

function least<T extends number | bigint>(a: T | null, b: T | null): T | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}
