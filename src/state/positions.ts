import type { Database } from './database.ts';
import { sql } from './sql.ts';

const BEGIN_POSITIONS = sql('begin-positions');
const SEE_POSITIONS = sql('see-positions');
const LOSE_RECORDS = sql('lose-records');

/** What a topic holds of a partition: records from `low` on, below `high`. */
export interface Extent {
  readonly partition: number;
  readonly low: number;
  readonly high: number;
}

/** Where reading goes on in a partition. */
export interface StoredPosition {
  readonly partition: number;
  readonly next: number;
  /** Timestamp of the record before, where it is known: another one there is another topic's. */
  readonly stamp: number | null;
  /** Why the partition rests until somebody decides; null: it does not. */
  readonly problem: string | null;
}

/** What an owner of partitions is told in turn. */
export interface Sight {
  /** Somebody has paused the function. */
  readonly paused: boolean;
  /** Where the partitions are, as far as rows say so: a person may have moved them. */
  readonly positions: ReadonlyMap<number, number>;
}

/** How far a projection is in the partitions of a topic. */
export class Positions {
  readonly #database: Database;
  readonly #function: number;
  readonly #topic: string;

  constructor(database: Database, fn: number, topic: string) {
    this.#database = database;
    this.#function = fn;
    this.#topic = topic;
  }

  /** Positions of these partitions, new ones at the earliest record. */
  async begin(extents: readonly Extent[]): Promise<StoredPosition[]> {
    const { rows } = await this.#database.control.query<StoredRow>({
      ...BEGIN_POSITIONS,
      values: [
        this.#function,
        this.#topic,
        extents.map((each) => each.partition),
        extents.map((each) => each.low),
        extents.map((each) => each.high),
      ],
    });
    return rows.map(({ next, stamp, ...row }) => ({
      ...row,
      next: Number(next),
      stamp: stamp === null ? null : Number(stamp),
    }));
  }

  /** Notes what the owner of the partitions has just seen. */
  async see(extents: readonly Extent[]): Promise<Sight> {
    const { rows } = await this.#database.control.query<SeenRow>({
      ...SEE_POSITIONS,
      values: [
        this.#function,
        this.#topic,
        extents.map((each) => each.partition),
        extents.map((each) => each.high),
      ],
    });
    const positions = new Map<number, number>();
    for (const { partition, next } of rows)
      if (partition !== null && next !== null) positions.set(partition, Number(next));
    return { paused: rows[0]?.paused === true, positions };
  }

  /** Goes on at `next`, because the records from `first` on are gone; false: the position is another one now. */
  async lose(partition: number, first: number, next: number): Promise<boolean> {
    const { rowCount } = await this.#database.control.query({
      ...LOSE_RECORDS,
      values: [this.#function, this.#topic, partition, first, next],
    });
    return rowCount === 1;
  }

  /** Lets the partition rest until somebody decides: whoever is in the middle of a chunk of it fails. */
  async rest(partition: number, problem: string): Promise<void> {
    await this.#database.control.query(
      'update muster.position set problem = $4 where function = $1 and topic = $2 and partition = $3',
      [this.#function, this.#topic, partition, problem],
    );
  }
}

interface SeenRow {
  paused: boolean;
  partition: number | null;
  next: string | null;
}

interface StoredRow {
  partition: number;
  next: string;
  stamp: string | null;
  problem: string | null;
}

/** Every position of a projection, by topic and partition; `topic` narrows it. */
export const POSITIONS = `
  select topic, partition, next::float8 as next, log_end::float8 as "end", seen_at as "seenAt"
  from muster.position where function = $1 and topic = $2 order by topic, partition`;

/** Notes gaps of functions whose positions Kafka keeps. */
export class LostRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async note(
    fn: string,
    topic: string,
    partition: number,
    first: number,
    next: number,
  ): Promise<void> {
    await this.#database.control.query(
      `insert into muster.lost_records (function, topic, partition, first, next)
       select id, $2, $3, $4, $5 from muster.function where name = $1
       on conflict (function, topic, partition, first) do update set next = excluded.next, noticed_at = now()`,
      [fn, topic, partition, first, next],
    );
  }
}
