import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { ensureDatastore } from '../../dev/demo/datastore.ts';
import type { Sensor } from '../../dev/headband/signal.ts';
import { SIGNAL_TABLE } from '../../dev/stack/connector.ts';
import type { Database } from './database.ts';

const INSERT = `
insert into datastore.signal (recording, span, sensor_type, sensor_label)
select $1, datastore.time_span(n, n + 1), sensor, $5
from generate_series($2::bigint, $3::bigint - 1) as n, unnest($4::text[]) as sensor
order by n`;

/** Creates the tables that Debezium reads. */
export async function prepareSource(database: Database): Promise<void> {
  const client = new pg.Client(database.url);
  await client.connect();
  await ensureDatastore(client);
  await client.query(SIGNAL_TABLE);
  await client.end();
}

/** The rows that one scene writes into the source table; each span is a set. */
export class Recording {
  readonly id = randomUUID();
  readonly #database: Database;
  #spans = 0;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Adds spans in one transaction, by default with two events each; `label` instructs the handler. */
  async add(
    spans: number,
    label: string,
    sensors: readonly Sensor[] = ['eeg', 'accelerometer'],
  ): Promise<void> {
    const from = this.#spans;
    this.#spans += spans;
    await this.#database.query(INSERT, [this.id, from, this.#spans, sensors, label]);
  }

  /** Adds signals to the spans that were added last. */
  async complete(spans: number, sensor: Sensor): Promise<void> {
    const values = [this.id, this.#spans - spans, this.#spans, [sensor], null];
    await this.#database.query(INSERT, values);
  }
}

/** The number of events of the table, in which rows are only inserted. */
export async function eventsOf(database: Database): Promise<number> {
  const [row] = await database.query<{ count: number }>(
    'select count(*)::int as count from datastore.signal',
  );
  return row!.count;
}

/** Keys of the sets that are complete in the source table, by the rule of the given definition. */
export async function completeInSource(
  database: Database,
  definition: 'first' | 'second',
): Promise<string[]> {
  const seconds = definition === 'first' ? ['accelerometer'] : ['accelerometer', 'ecg'];
  const rows = await database.query<{ key: string }>(
    `select recording || ' ' || span as key from datastore.signal group by recording, span
     having bool_or(sensor_type = 'eeg') and bool_or(sensor_type = any($1))`,
    [seconds],
  );
  return rows.map(({ key }) => key).toSorted();
}
