import pg from 'pg';
import { errorText } from '../../lib/error-text.ts';
import type { RowChange } from '../../state/change.ts';
import { CLOCK_MARGIN_MS } from '../../state/version.ts';
import { sqlState } from '../../state/database/database.ts';
import { capture, selectOf, type CapturedTable } from './captured-table.ts';
import { SETTINGS } from './connection.ts';
import type { LogPosition } from './envelope.ts';
import { parseLsn } from './lsn.ts';
import type { Values } from './pgoutput.ts';
import { toReadChange } from './row-changes.ts';
import { SourceError } from './source-error.ts';
import { readTable } from './source-table.ts';

export interface TableReaderOptions {
  readonly url: string;
  /** `source.name` of the changes. */
  readonly source: string;
  /** Name of the application in the source. */
  readonly application: string;
  /**
   * How long a transaction must have waited for a synchronous standby for its rows to count as not readable; by default
   * the time by which a read must be later than a change to be newer (`muster.newer`).
   */
  readonly marginMs?: number;
}

/** The values of a table's primary key as text; null is before the first row. */
type Key = readonly string[] | null;

/** Rows of a table in the order of its primary key, and the last key; null at the end of the table. */
interface TablePage {
  readonly rows: readonly RowChange[];
  readonly last: Key;
}

/** Rows that were looked up by an id, and when. */
interface FoundRows {
  readonly rows: readonly RowChange[];
  readonly position: LogPosition;
  /** Why rows that were committed long ago may not be readable; null if they are. */
  readonly whyUnreadable: string | null;
}

/** invalid_text_representation, numeric_value_out_of_range */
const NO_VALUE = new Set(['22P02', '22003']);
const TEXT = { getTypeParser: () => (text: string) => text };

/** Settings that mean nothing within a transaction. */
const OF_SESSIONS = ['default_transaction_read_only', 'idle_session_timeout'];
/** The settings hold for one transaction: behind a pooler the session belongs to other clients, too. */
const BEGIN = `begin isolation level read committed read only; select ${Object.entries(SETTINGS)
  .filter(([name]) => !OF_SESSIONS.includes(name))
  .map(
    ([name, value]) =>
      `case when current_setting('${name}', true) is not null then set_config('${name}', '${value}', true) end`,
  )
  .join(', ')}`;

/**
 * TableReader reads rows of tables as reads of a snapshot, a page in a transaction. It changes nothing in the source,
 * not even settings of its session. It throws {@link SourceError}.
 */
export class TableReader {
  readonly #options: TableReaderOptions;
  #client: pg.Client | null = null;

  constructor(options: TableReaderOptions) {
    this.#options = options;
  }

  /** Connects, again if need be: a session that was idle for long may have been ended. */
  async open(): Promise<void> {
    await this.close();
    const { url, application } = this.#options;
    const client = new pg.Client({
      connectionString: url,
      application_name: application,
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
    });
    client.on('error', () => {}); // the next query reports it
    this.#client = client;
    await client.connect().catch((error: unknown) => {
      throw new SourceError(`the source: ${errorText(error)}`);
    });
    await this.#requirePrimary();
  }

  async close(): Promise<void> {
    await this.#client?.end().catch(() => {});
    this.#client = null;
  }

  /** Reads a table from the catalog, with these columns. */
  table(name: string, columns: ReadonlySet<string>): Promise<CapturedTable> {
    return this.#reading(async () => {
      const table = await readTable(this.#client!, name);
      const isThere = (column: string) => table.columns.some((each) => each.name === column);
      const lacking = [...columns].filter((each) => !isThere(each));
      if (lacking.length > 0) {
        throw new SourceError(`${name} of the source has no column ${lacking.join(', ')}`);
      }
      const captured = capture(table, columns);
      await this.#read(captured, 'limit 0', []); // may not be permitted
      return captured;
    });
  }

  /** The end of the log and the time, by the source's clock. */
  position(): Promise<LogPosition> {
    return this.#reading(() => this.#position());
  }

  /** Returns whether a publication exists, and the tables of which it publishes only some rows. */
  publication(name: string): Promise<{ exists: boolean; filtered: readonly string[] }> {
    return this.#reading(async () => {
      const { rows } = await this.#client!.query<{ exists: boolean; filtered: string[] }>(
        `select exists (select from pg_publication where pubname = $1) as exists,
                array(select format('%s.%s', schemaname, tablename) from pg_publication_tables
                      where pubname = $1 and rowfilter is not null) as filtered`,
        [name],
      );
      return rows[0]!;
    });
  }

  /** Reads the rows of a table after a key, in the order of its primary key. */
  page(table: CapturedTable, after: Key, limit: number): Promise<TablePage> {
    return this.#reading(async () => {
      const key = table.key.map(({ name }) => pg.escapeIdentifier(name)).join(', ');
      const position = await this.#position();
      const values = after ?? [];
      const parameters = values.map((_, i) => `$${i + 1}`).join(', ');
      const where = after === null ? '' : `where (${key}) > (${parameters})`;
      const rows = await this.#read(table, `${where} order by ${key} limit ${limit}`, values);
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        rows: this.#changes(rows, table, position),
        last: last ? table.key.map((column) => last[table.columns.indexOf(column)]!) : null,
      };
    });
  }

  /**
   * Reads the rows with these values of these columns. The position is taken before anything is read: every change
   * that is not in the rows is above it, or later.
   */
  find(
    table: CapturedTable,
    columns: readonly string[],
    values: readonly (readonly string[])[],
  ): Promise<FoundRows> {
    return this.#reading(async () => {
      const position = await this.#position();
      const whyUnreadable = await this.#whyUnreadable();
      const names = columns.map((name) => pg.escapeIdentifier(name)).join(', ');
      const tuples = values.map(
        (_, n) => `(${columns.map((__, i) => `$${n * columns.length + i + 1}`).join(', ')})`,
      );
      const where = `where (${names}) in (${tuples.join(', ')})`;
      const rows = values.length === 0 ? [] : await this.#read(table, where, values.flat());
      return { rows: this.#changes(rows, table, position), position, whyUnreadable };
    });
  }

  async #requirePrimary(): Promise<void> {
    const isStandby = await this.#reading(async () => {
      const { rows } = await this.#client!.query<{ isStandby: boolean }>(
        'select pg_is_in_recovery() as "isStandby"',
      );
      return rows[0]!.isStandby;
    });
    if (isStandby) {
      throw new SourceError('the source is a standby, which may lag: name its primary');
    }
  }

  /** Runs queries in one transaction. */
  async #reading<T>(work: () => Promise<T>): Promise<T> {
    try {
      await this.#client!.query(BEGIN);
      const result = await work();
      await this.#client!.query('commit');
      return result;
    } catch (error) {
      await this.#client!.query('rollback').catch(() => {});
      if (error instanceof SourceError) throw error;
      const cause = { cause: sqlState(error) };
      throw new SourceError(`the source: ${errorText(error)}`, cause);
    }
  }

  async #position(): Promise<LogPosition> {
    const { rows } = await this.#client!.query<{ lsn: string; at: string }>(
      `select pg_current_wal_flush_lsn() as lsn, (extract(epoch from clock_timestamp()) * 1000000)::bigint as at`,
    );
    const { lsn, at } = rows[0]!;
    return {
      lsn: parseLsn(lsn),
      lastCommit: null,
      txId: 0,
      at: BigInt(at),
      snapshot: 'incremental',
    };
  }

  /**
   * A transaction that waits for a synchronous standby is in the log, and nobody sees its rows. One that has waited for
   * less than the margin was committed later than a read may count for, whatever is read.
   */
  async #whyUnreadable(): Promise<string | null> {
    const { rows } = await this.#client!.query<{
      isSynchronous: boolean;
      sees: boolean;
      waits: boolean;
    }>(
      `select current_setting('synchronous_standby_names') <> '' as "isSynchronous", pg_has_role('pg_read_all_stats', 'usage') as sees,
              exists (select from pg_stat_activity
                      where wait_event = 'SyncRep'
                        and coalesce(query_start, backend_start) <= clock_timestamp() - make_interval(secs => $1::float8 / 1000)) as waits`,
      [this.#options.marginMs ?? CLOCK_MARGIN_MS],
    );
    const { isSynchronous, sees, waits } = rows[0]!;
    if (waits) {
      return 'transactions of the source wait for a synchronous standby, so that their rows can not be read: try again once it answers';
    }
    return isSynchronous && !sees
      ? 'the source has synchronous standbys, and its login may not see whether transactions wait for them: grant pg_read_all_stats to it'
      : null;
  }

  async #read(table: CapturedTable, rest: string, values: readonly string[]): Promise<Values[]> {
    const { rows } = await this.#client!.query<Values>({
      text: `${selectOf(table)} ${rest}`,
      values: [...values],
      rowMode: 'array',
      types: TEXT,
    } as pg.QueryArrayConfig);
    return rows;
  }

  #changes(rows: readonly Values[], table: CapturedTable, position: LogPosition): RowChange[] {
    return rows.map((values) => {
      const read = toReadChange(values, table, position, this.#options.source);
      if (read.kind === 'bad') throw new SourceError(read.detail);
      return read.change;
    });
  }
}

/** Whether a value could not be read as one of the type of its column. */
export function isBadText(error: unknown): boolean {
  return error instanceof SourceError && NO_VALUE.has(String(error.cause));
}
