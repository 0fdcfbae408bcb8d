import type { Database } from './database.ts';

/** An event that was kept aside. */
export interface ParkedEvent {
  readonly id: string;
  readonly reason: string;
  readonly detail: string;
  /** CloudEvents attributes and extensions. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
  readonly body: Buffer;
  /** How often the same event was parked. */
  readonly seen: number;
  readonly parkedAt: Date;
}

export interface ParkedFilter {
  readonly ids?: readonly string[];
  readonly reason?: string | undefined;
}

/** Parked events, newest first, at most `limit` of those before the event `before`. */
export async function listParked(
  database: Database,
  filter: ParkedFilter,
  limit: number,
  before: string | null = null,
): Promise<ParkedEvent[]> {
  const { rows } = await database.control.query<ParkedEvent>(
    `select id, reason, detail, attributes, content_type as "contentType",
            content_encoding as "contentEncoding", body, seen, parked_at as "parkedAt"
     from muster.parked
     where ($1::bigint[] is null or id = any ($1)) and ($2::text is null or reason = $2)
       and ($3::bigint is null or id < $3)
     order by id desc limit $4`,
    [filter.ids ?? null, filter.reason ?? null, before, limit],
  );
  return rows;
}

/** Forgets a parked event whose effect has been committed since. */
export async function unpark(database: Database, id: string): Promise<void> {
  await database.control.query('delete from muster.parked where id = $1', [id]);
}
