/** The demo's figures, queried from the database: Muster's view of the sets, and the source table's. */
import type pg from 'pg';

export interface SetCounts {
  waiting: number;
  complete: number;
  running: number;
  done: number;
  failed: number;
  overdue: number;
}

export async function countSets(client: pg.Client): Promise<SetCounts> {
  const { rows } = await client.query(
    `select status, count(*)::int as sets, count(*) filter (where overdue)::int as overdue
     from muster.set_status where function = 'recordings' group by status`,
  );
  const counts = { waiting: 0, complete: 0, running: 0, done: 0, failed: 0, overdue: 0 };
  for (const { status, sets, overdue } of rows as {
    status: keyof SetCounts;
    sets: number;
    overdue: number;
  }[]) {
    counts[status] += sets;
    counts.overdue += overdue;
  }
  return counts;
}

/** One effect of the handler. */
export interface Processed {
  readonly id: string;
  readonly recording: string;
  readonly span: string;
  readonly run_id: string;
}

/** Returns each new effect once, approximately in commit order. */
export class ProcessedFeed {
  readonly #client: pg.Client;
  readonly #start: string;
  readonly #seen = new Set<string>();
  #newest: string;

  private constructor(client: pg.Client, start: string) {
    this.#client = client;
    this.#start = start;
    this.#newest = start;
  }

  static async from(client: pg.Client): Promise<ProcessedFeed> {
    const { rows } = await client.query(
      'select coalesce(max(id), 0)::text as newest from recordings.processed',
    );
    return new ProcessedFeed(client, rows[0].newest);
  }

  /** Rereads the last thousand ids, because a lower id may commit later. */
  async next(): Promise<Processed[]> {
    const { rows } = await this.#client.query<Processed>(
      `select id::text, recording, span, run_id from recordings.processed
       where id > $1::bigint and id > $2::bigint - 1000 order by id`,
      [this.#start, this.#newest],
    );
    const fresh = rows.filter(({ id }) => !this.#seen.has(id));
    for (const { id } of fresh) this.#seen.add(id);
    this.#newest = rows.at(-1)?.id ?? this.#newest;
    return fresh;
  }
}

/** A set that was not complete by its deadline. */
export interface Overdue {
  readonly key: string;
  readonly recording: string;
  readonly span: string;
  /** Names of the parts that are missing. */
  readonly missing: readonly string[];
  /** A signal of the set, with the columns that decide; null if the table no longer has one. */
  readonly example: Readonly<Record<string, string>> | null;
}

/** Returns each set that becomes overdue from now on once, read from the events that Muster publishes. */
export class OverdueFeed {
  readonly #client: pg.Client;
  readonly #start: string;
  readonly #seen = new Set<string>();
  #newest: string;

  private constructor(client: pg.Client, start: string) {
    this.#client = client;
    this.#start = start;
    this.#newest = start;
  }

  static async from(client: pg.Client): Promise<OverdueFeed> {
    const { rows } = await client.query(
      'select coalesce(max(id), 0)::text as newest from muster.outbox',
    );
    return new OverdueFeed(client, rows[0].newest);
  }

  /** As in {@link ProcessedFeed}, a lower id may commit later. */
  async next(): Promise<Overdue[]> {
    const last = await this.#client.query(
      'select coalesce(max(id), 0)::text as id from muster.outbox',
    );
    const { rows } = await this.#client.query<Overdue & { id: string }>(
      `select o.id::text, o.key, o.key::json ->> 0 as recording, o.key::json ->> 1 as span,
              array(select part ->> 'part' from json_array_elements(o.data -> 'missing') part) as missing,
              (select json_build_object('id', s.id, 'recording', s.recording, 'span', s.span::text, 'sensor_type', s.sensor_type)
               from datastore.signal s
               -- as text: people send events with other keys by hand
               where s.recording::text = o.key::json ->> 0 and s.span::text = o.key::json ->> 1
                 and s.sensor_type in ('eeg', 'accelerometer')
               limit 1) as example
       from muster.outbox o
       where o.id > $1::bigint and o.id > $2::bigint - 1000 and o.type = 'muster.set.overdue' and o.data ->> 'function' = 'recordings'
       order by o.id`,
      [this.#start, this.#newest],
    );
    const fresh = rows.filter(({ id }) => !this.#seen.has(id));
    for (const { id } of fresh) this.#seen.add(id);
    this.#newest = last.rows[0].id;
    return fresh;
  }
}

export interface Summary {
  /** Spans for which the table has both signals. */
  readonly complete: number;
  /** Spans processed by the handler. */
  readonly processed: number;
  /** Spans processed more than once. */
  readonly twice: number;
  /** Spans that are complete in the table but not processed. */
  readonly missing: number;
  /** Processed spans of which a signal has been deleted since. */
  readonly brokenSince: number;
  /** Keys of some missing spans. */
  readonly examples: string[];
}

/** Compares the handler's effects with the table: complete = processed − brokenSince + missing. */
export async function summarise(client: pg.Client): Promise<Summary> {
  const { rows } = await client.query<Summary>(
    `with complete as (
       select recording, span::text as span from datastore.signal
       where sensor_type in ('eeg', 'accelerometer')
       group by recording, span having count(distinct sensor_type) = 2
     ), processed as (
       select recording, span, count(*) as times from recordings.processed group by recording, span
     )
     select count(c.recording)::int as complete,
            count(p.recording)::int as processed,
            (count(*) filter (where p.times > 1))::int as twice,
            (count(*) filter (where p.recording is null))::int as missing,
            (count(*) filter (where c.recording is null))::int as "brokenSince",
            coalesce((array_agg(format('["%s","%s"]', recording, span)) filter (where p.recording is null))[:3], '{}') as examples
     from complete c full join processed p using (recording, span)`,
  );
  return rows[0]!;
}

/** The current end of the WAL, as a number. */
export async function logEnd(client: pg.Client): Promise<bigint> {
  const { rows } = await client.query(
    `select (pg_current_wal_insert_lsn() - '0/0')::text as position`,
  );
  return BigInt(rows[0].position);
}
