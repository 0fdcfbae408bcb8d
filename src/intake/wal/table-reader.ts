import pg from 'pg';
import { capture, type CapturedTable } from './captured-table.ts';
import { connect } from './connection.ts';
import type { LogPosition } from './envelope.ts';
import { parseLsn } from './lsn.ts';
import type { Values } from './pgoutput.ts';
import { toReadChange } from './row-changes.ts';
import { SourceError } from './source-error.ts';
import { quoted, readTable } from './source-table.ts';
import type { RowChange } from '../../state/change.ts';

/** The rows of a page of a table, and where the next page begins; null after the last one. */
interface TablePage {
  readonly rows: readonly RowChange[];
  readonly next: readonly string[] | null;
}

/** A place in a table: the values of its primary key as text. Null is before the first row. */
type Place = readonly string[] | null;

const TEXT = { getTypeParser: () => (text: string) => text };

/**
 * TableReader reads the rows of a source as reads of a snapshot, each page of them as it is at that moment: no
 * transaction stays open. It only reads.
 */
export class TableReader {
  readonly #client: pg.Client;
  /** `source.name` of the changes. */
  readonly #source: string;

  private constructor(client: pg.Client, source: string) {
    this.#client = client;
    this.#source = source;
  }

  /** Throws {@link SourceError} if the server is a standby, and errors from Postgres. */
  static async open(url: string, source: string): Promise<TableReader> {
    const client = await connect(url, 'muster reconcile');
    try {
      await client.query('set default_transaction_read_only = on');
      const { rows } = await client.query<{ isStandby: boolean }>(
        'select pg_is_in_recovery() as "isStandby"',
      );
      if (rows[0]!.isStandby) {
        throw new SourceError('the source is a standby, which may lag: name its primary');
      }
      return new TableReader(client, source);
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => {});
  }

  /** Reads a table from the catalog, with these columns. Throws {@link SourceError} if one does not exist. */
  async table(name: string, columns: ReadonlySet<string>): Promise<CapturedTable> {
    const table = await readTable(this.#client, name);
    const lacking = [...columns].filter((each) => !table.columns.some((one) => one.name === each));
    if (lacking.length > 0) {
      throw new SourceError(`${name} of the source has no column ${lacking.join(', ')}`);
    }
    return capture(table, columns);
  }

  /** The end of the log and the time, by the source's clock. What is read afterwards is at least as new. */
  async position(): Promise<LogPosition> {
    const { rows } = await this.#client.query<{ lsn: string; at: string }>(
      `select pg_current_wal_insert_lsn() as lsn, (extract(epoch from clock_timestamp()) * 1000000)::bigint as at`,
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
   * Returns why rows that were committed long ago may not be readable: a transaction that waits for a synchronous
   * standby is in the log, and nobody sees its rows. Null if there is none.
   */
  async whyUnreadable(): Promise<string | null> {
    const { rows } = await this.#client.query<{
      isSynchronous: boolean;
      sees: boolean;
      waits: boolean;
    }>(
      `select current_setting('synchronous_standby_names') <> '' as "isSynchronous", pg_has_role('pg_read_all_stats', 'usage') as sees,
              exists (select from pg_stat_activity where wait_event = 'SyncRep') as waits`,
    );
    const { isSynchronous, sees, waits } = rows[0]!;
    if (waits) {
      return 'transactions of the source wait for a synchronous standby, so that their rows can not be read: try again once it answers';
    }
    return isSynchronous && !sees
      ? 'the source has synchronous standbys, and its login may not see whether transactions wait for them: grant pg_read_all_stats to it'
      : null;
  }

  /** Reads the rows of a table in the order of its primary key. */
  async page(table: CapturedTable, after: Place, limit: number): Promise<TablePage> {
    const key = table.key.map(({ name }) => pg.escapeIdentifier(name)).join(', ');
    const position = await this.position();
    const values = after ?? [];
    const where =
      after === null ? '' : `where (${key}) > (${values.map((_, i) => `$${i + 1}`).join(', ')})`;
    const rows = await this.#read(table, `${where} order by ${key} limit ${limit}`, values);
    const last = rows.length < limit ? null : rows.at(-1)!;
    return {
      rows: this.#changes(rows, table, position),
      next: last && table.key.map((column) => last[table.columns.indexOf(column)]!),
    };
  }

  /** Reads the rows with these values of these columns. */
  async find(
    table: CapturedTable,
    columns: readonly string[],
    values: readonly (readonly string[])[],
    position: LogPosition,
  ): Promise<RowChange[]> {
    const names = columns.map((name) => pg.escapeIdentifier(name)).join(', ');
    const width = columns.length;
    const tuples = values.map(
      (_, n) => `(${columns.map((__, i) => `$${n * width + i + 1}`).join(', ')})`,
    );
    const rows = await this.#read(
      table,
      `where (${names}) in (${tuples.join(', ')})`,
      values.flat(),
    );
    return this.#changes(rows, table, position);
  }

  async #read(table: CapturedTable, rest: string, values: readonly string[]): Promise<Values[]> {
    const columns = table.columns.map(({ name }) => pg.escapeIdentifier(name)).join(', ');
    const { rows } = await this.#client.query<Values>({
      text: `select ${columns} from ${quoted(table.stream)} ${rest}`,
      values: [...values],
      rowMode: 'array',
      types: TEXT,
    } as pg.QueryArrayConfig);
    return rows;
  }

  #changes(rows: readonly Values[], table: CapturedTable, position: LogPosition): RowChange[] {
    return rows.map((values) => {
      const read = toReadChange(values, table, position, this.#source);
      if (read.kind === 'bad') throw new SourceError(read.detail);
      return read.change;
    });
  }
}
