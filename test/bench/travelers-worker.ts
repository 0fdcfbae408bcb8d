/** One of the stores of travelers.ts in a separate process, which ingests records in the topic's format. */
import pg from 'pg';
import { readOptions } from '../../functions/travelers/options.ts';
import { travelers } from '../../functions/travelers/projection.ts';
import type { Sample } from '../../functions/travelers/ingest/sample.ts';
import { Loop } from '../../src/lib/loop.ts';
import { settleProjection } from '../../src/process/settle-projection.ts';
import { Chunks } from '../../src/state/projections/chunks.ts';
import { openDatabase } from '../../src/state/database/database.ts';
import { Positions } from '../../src/state/projections/positions.ts';
import { registerProjection } from '../../src/state/registration/register-projection.ts';
import { obey } from './section.ts';
import { Records } from './travelers-records.ts';

export interface TravelersStart {
  readonly url: string;
  readonly store: 'muster' | 'state' | 'insert';
  readonly connections: number;
  readonly records: number;
}

/** An order to ingest the records from one number to another. */
export interface TravelersOrder {
  readonly from: number;
  readonly to: number;
}

export interface TravelersAnswer {
  readonly seconds: number;
  readonly statements: number;
}

/** Records in a chunk or a batch. */
const CHUNK = 10_000;
const PARTITIONS = 12;

const start = JSON.parse(process.argv[2]!) as TravelersStart;
const definition = travelers(readOptions({}));
const records = await Records.make(start.records);
let statements = 0;
countStatements();

const recordAt = (n: number) => ({
  offset: n,
  timestamp: 0,
  key: null,
  value: records.at(n),
  headers: {},
});
const sampleAt = (n: number): Sample => definition.read(recordAt(n))!;

const STORES = { muster: openMuster, state: openState, insert: openInsert };
const store = await STORES[start.store]();
obey<TravelersOrder>(async (order): Promise<TravelersAnswer> => {
  const [began, before] = [performance.now(), statements];
  await store(order);
  return { seconds: (performance.now() - began) / 1000, statements: statements - before };
});

/** Distributes records to the partitions in turn; ends when all records that can be folded are folded. */
async function openMuster() {
  const database = openDatabase({
    url: start.url,
    writers: start.connections,
    handlers: 1,
    handlerIdleMs: 60_000,
    statementTimeoutMs: 15_000,
    onIdleError: () => {},
  });
  const id = await registerProjection(database, definition);
  const positions = new Positions(database, id, definition.topic);
  await positions.begin(
    Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, low: 0, high: 0 })),
  );
  const chunks = new Chunks(database, id, definition);
  const next = Array.from({ length: PARTITIONS }, () => 0);
  const log = { info() {}, warn: console.error, error: console.error };
  const turn = () => settleProjection(database, id, definition, log);

  return async ({ from, to }: TravelersOrder) => {
    const settling = new Loop(1_000, turn, (error) => console.error(error));
    const queue: { partition: number; numbers: number[] }[] = [];
    for (let begin = from; begin < to; begin += CHUNK * PARTITIONS) {
      const end = Math.min(begin + CHUNK * PARTITIONS, to);
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const numbers: number[] = [];
        for (let n = begin + partition; n < end; n += PARTITIONS) numbers.push(n);
        if (numbers.length > 0) queue.push({ partition, numbers });
      }
    }
    await partIndexes(start.connections, async (partIndex) => {
      for (const { partition, numbers } of queue) {
        if (partition % start.connections !== partIndex) continue;
        const first = next[partition]!;
        next[partition] = first + numbers.length;
        const applied = await chunks.apply({
          topic: definition.topic,
          partition,
          from: first,
          next: next[partition],
          end: next[partition],
          records: numbers.map((n, i) => ({ ...recordAt(n), offset: first + i })),
        });
        if (applied.kind !== 'applied' || applied.parked.length > 0) {
          throw new Error(`a chunk was not applied: ${JSON.stringify(applied)}`);
        }
      }
    });
    await settling.stop();
    while (await turn());
  };
}

/** Like the original: reads and writes the traveler's row for each record. */
async function openState() {
  const clients = await connect();
  const read = {
    name: 'read',
    text: 'select last_at, x, y, path, moved, slowest, fastest from bench.traveler where sensor = $1 and traveler = $2',
  };
  const write = {
    name: 'write',
    text: `insert into bench.traveler values ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9, $10, 1)
           on conflict (sensor, traveler) do update
           set last_at = excluded.last_at, x = excluded.x, y = excluded.y, path = excluded.path,
               moved = excluded.moved, slowest = excluded.slowest, fastest = excluded.fastest,
               samples = bench.traveler.samples + 1`,
  };
  return ({ from, to }: TravelersOrder) =>
    partIndexes(clients.length, async (partIndex) => {
      const client = clients[partIndex]!;
      for (let n = from; n < to; n++) {
        const { sensor, traveler, type, at, x, y } = sampleAt(n);
        // all records of a traveler on one connection, as with a key
        if (Number.parseInt(traveler.slice(0, 8), 16) % clients.length !== partIndex) continue;
        const { rows } = await client.query<StateRow>({ ...read, values: [sensor, traveler] });
        const last = rows[0];
        const micros = last === undefined ? 0 : at - Number(last.last_at);
        const path = last === undefined ? 0 : Math.hypot(x - last.x, y - last.y);
        const speed = micros > 0 ? path / (micros / 1e6) : null;
        const least = Math.min(last?.slowest ?? Infinity, speed ?? Infinity);
        const most = Math.max(last?.fastest ?? -Infinity, speed ?? -Infinity);
        await client.query({
          ...write,
          values: [
            sensor,
            traveler,
            type,
            at,
            x,
            y,
            (last?.path ?? 0) + path,
            Number(last?.moved ?? 0) + Math.abs(micros),
            Number.isFinite(least) ? least : null,
            Number.isFinite(most) ? most : null,
          ],
        });
      }
    });
}

interface StateRow {
  last_at: string;
  x: number;
  y: number;
  path: number;
  moved: string;
  slowest: number | null;
  fastest: number | null;
}

/** Inserts one row per record, thousands per statement, into a table without an index, which can't be queried yet. */
async function openInsert() {
  const clients = await connect();
  const insert = {
    name: 'insert',
    text: `insert into bench.sample
           select * from unnest($1::int[], $2::uuid[], $3::text[], $4::int8[], $5::float8[], $6::float8[])`,
  };
  return ({ from, to }: TravelersOrder) =>
    partIndexes(clients.length, async (partIndex) => {
      for (let begin = from + partIndex * CHUNK; begin < to; begin += clients.length * CHUNK) {
        const length = Math.min(CHUNK, to - begin);
        const samples = Array.from({ length }, (_, i) => sampleAt(begin + i));
        await clients[partIndex]!.query({
          ...insert,
          values: [
            samples.map(({ sensor }) => sensor),
            samples.map(({ traveler }) => traveler),
            samples.map(({ type }) => type),
            samples.map(({ at }) => at),
            samples.map(({ x }) => x),
            samples.map(({ y }) => y),
          ],
        });
      }
    });
}

async function connect(): Promise<pg.Client[]> {
  const clients = Array.from({ length: start.connections }, () => new pg.Client(start.url));
  await Promise.all(clients.map((client) => client.connect()));
  return clients;
}

async function partIndexes(
  count: number,
  run: (partIndex: number) => Promise<void>,
): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, partIndex) => run(partIndex)));
}

function countStatements(): void {
  const prototype = pg.Client.prototype as { query: (...args: unknown[]) => unknown };
  const send = prototype.query;
  prototype.query = function counted(...args) {
    statements += 1;
    return Reflect.apply(send, this, args);
  };
}
