/**
 * The baselines for Muster: the minimum that stores a member and counts its set, without versions,
 * retraction, deadlines or runs, and without any check for lost events or duplicate effects.
 */
import pg from 'pg';
import type { Intake } from '../../src/intake/ingest.ts';
import type { Change, RowChange } from '../../src/state/change.ts';

/**
 * One transaction of three statements per event; one statement per event; group commit of bare inserts
 * into a table with a primary key; the same into a table without a key, which is the maximum that this
 * machine can store.
 */
export type Baseline = 'transaction' | 'statement' | 'keyed' | 'floor';

const SCHEMA = `
  create schema bench;
  create table bench.member (
    part    smallint not null,
    id      text collate "C" not null,
    key     text collate "C" not null,
    columns jsonb not null,
    primary key (part, id)
  );
  create table bench.sets (
    key text collate "C" primary key,
    n   int not null
  ) with (fillfactor = 60);
  create table bench.event (part smallint not null, id text not null, key text not null, columns jsonb not null)`;

const MEMBER = {
  name: 'member',
  text: `insert into bench.member as m (part, id, key, columns) values ($1, $2, $3, $4)
         on conflict (part, id) do update set key = excluded.key, columns = excluded.columns
         returning old.id is null as is_new`,
};
const COUNT = {
  name: 'count',
  text: `insert into bench.sets as s (key, n) values ($1, 1)
         on conflict (key) do update set n = s.n + 1 returning n`,
};
const STATEMENT = {
  name: 'statement',
  text: `with m as (
           insert into bench.member as m (part, id, key, columns) values ($1, $2, $3, $4)
           on conflict (part, id) do update set key = excluded.key, columns = excluded.columns
           returning old.id is null as is_new
         )
         insert into bench.sets as s (key, n) select $3, 1 from m where is_new
         on conflict (key) do update set n = s.n + 1 returning n`,
};
const INSERT = (table: string) => ({
  name: table,
  text: `insert into bench.${table} (part, id, key, columns)
         select * from unnest($1::smallint[], $2::text[], $3::text[], $4::jsonb[])`,
});

export interface BaselineIntake extends Intake {
  stop(): Promise<void>;
}

export async function createBaselineSchema(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(SCHEMA);
  await client.end();
}

/** One of the baselines on a database that has {@link createBaselineSchema}'s tables. */
export function openBaseline(kind: Baseline, url: string, connections: number): BaselineIntake {
  const pool = new pg.Pool({ connectionString: url, max: connections, keepAlive: true });
  const file = { transaction, statement, keyed: inserts('member'), floor: inserts('event') }[kind];
  return {
    async ingest(change) {
      await file(pool, rowOf(change));
      return { kind: 'ingested' };
    },
    park: () => Promise.reject(new Error('nothing is parked here')),
    explain: () => Promise.resolve({ sets: [] }),
    stop: () => pool.end(),
  };
}

type Row = [part: number, id: string, key: string, columns: string];

function rowOf(change: Change): Row {
  const {
    id,
    recording,
    span,
    sensor_type: sensor,
  } = (change as RowChange).row as Record<string, string>;
  const key = JSON.stringify([recording, Buffer.from(span!, 'base64').toString()]);
  const columns = JSON.stringify({ id, recording, span, sensor_type: sensor });
  return [sensor === 'eeg' ? 1 : 2, id!, key, columns];
}

async function transaction(pool: pg.Pool, row: Row): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const { rows } = await client.query<{ is_new: boolean }>({ ...MEMBER, values: row });
    if (rows[0]!.is_new) await client.query({ ...COUNT, values: [row[2]] });
    await client.query('commit');
  } finally {
    client.release();
  }
}

async function statement(pool: pg.Pool, row: Row): Promise<void> {
  await pool.query({ ...STATEMENT, values: row });
}

/** Group commit like Muster's, with two writers and at most 256 events each. */
function inserts(table: 'event' | 'member'): (pool: pg.Pool, row: Row) => Promise<void> {
  let queue: { row: Row; resolve: () => void; reject: (error: unknown) => void }[] = [];
  let writing = 0;
  const pump = (pool: pg.Pool) => {
    while (queue.length > 0 && writing < 2) {
      const batch = queue.slice(0, 256);
      queue = queue.slice(256);
      writing++;
      const values = ([0, 1, 2, 3] as const).map((i) => batch.map(({ row }) => row[i]));
      pool
        .query({ ...INSERT(table), values })
        .then(
          () => batch.forEach(({ resolve }) => resolve()),
          (error: unknown) => batch.forEach(({ reject }) => reject(error)),
        )
        .finally(() => {
          writing--;
          pump(pool);
        });
    }
  };
  return (pool, row) =>
    new Promise((resolve, reject) => {
      queue.push({ row, resolve, reject });
      if (queue.length === 1) setImmediate(() => pump(pool));
    });
}
