import type { Database } from '../database/database.ts';

/** A parked event. */
export interface ParkedEvent {
  readonly id: string;
  readonly reason: string;
  readonly detail: string;
  /** CloudEvents attributes and extensions. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
  readonly body: Buffer;
  /** Functions of the workers that parked it. It is done only when all of them have ingested it. */
  readonly functions: readonly string[];
  /** Number of times that the same event was parked. */
  readonly seen: number;
  readonly parkedAt: Date;
}

export interface ParkedFilter {
  readonly ids?: readonly string[] | undefined;
  readonly reason?: string | undefined;
}

/** Returns up to `limit` parked events, newest first, starting before the event `before`. */
export async function listParked(
  database: Database,
  filter: ParkedFilter,
  limit: number,
  before: string | null = null,
): Promise<ParkedEvent[]> {
  const { rows } = await database.control.query<ParkedEvent>(
    `select id, reason, detail, attributes, content_type as "contentType",
            content_encoding as "contentEncoding", body, functions, seen, parked_at as "parkedAt"
     from muster.parked
     where ($1::bigint[] is null or id = any ($1)) and ($2::text is null or reason = $2)
       and ($3::bigint is null or id < $3)
     order by id desc limit $4`,
    [filter.ids ?? null, filter.reason ?? null, before, limit],
  );
  return rows;
}

/** Deletes parked events that have been ingested since, or are discarded; returns their ids. */
export async function unpark(database: Database, filter: ParkedFilter): Promise<string[]> {
  const { rows } = await database.control.query<{ id: string }>(
    `with locked as materialized (
       select id from muster.parked
       where ($1::bigint[] is null or id = any ($1)) and ($2::text is null or reason = $2)
       order by digest for update -- the order of park-records.sql
     )
     delete from muster.parked p using locked where p.id = locked.id returning p.id`,
    [filter.ids ?? null, filter.reason ?? null],
  );
  return rows.map(({ id }) => id);
}
