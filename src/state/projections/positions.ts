import type { Database } from '../database/database.ts';
import { sql } from '../sql.ts';

const BEGIN_POSITIONS = sql('begin-positions');
const REPORT_PROGRESS = sql('report-progress');
const LOSE_RECORDS = sql('lose-records');
const FORGET_POSITIONS = sql('forget-positions');

/** What a topic holds of a partition: records from `low` on, below `high`. */
export interface OffsetRange {
  readonly partition: number;
  readonly low: number;
  readonly high: number;
}

/** Which topic has the name now. */
export interface TopicNow {
  /** Another one once the topic was deleted and created again; null: the broker is too old to tell. */
  readonly id: string | null;
  /** All partitions there are; null: not known. */
  readonly partitions: readonly number[] | null;
}

/** A partition that was forgotten because its topic was made anew with fewer of them. */
export interface GonePartition {
  readonly partition: number;
  readonly next: number;
  /** Records that were never read. */
  readonly lost: number;
}

/** Where reading goes on in a partition. */
export interface StoredPosition {
  readonly partition: number;
  readonly next: number;
  /** Id of the topic that the position is of, where it is known. */
  readonly topicId: string | null;
  /** Timestamp of the record before, where it is known: another one there is another topic's. */
  readonly lastTimestamp: number | null;
  /** Why the partition rests until somebody decides; null: it does not. */
  readonly problem: string | null;
}

/** What an owner of partitions is told in turn. */
export interface Progress {
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

  /** Positions of these partitions, as far as they have any. */
  async stored(partitions: readonly number[]): Promise<StoredPosition[]> {
    const { rows } = await this.#database.control.query<StoredRow>(STORED, [
      this.#function,
      this.#topic,
      partitions,
    ]);
    return rows.map(toStored);
  }

  /** Positions of these partitions, new ones at the earliest record. */
  async begin(
    extents: readonly OffsetRange[],
    topicId: string | null = null,
  ): Promise<StoredPosition[]> {
    const { rows } = await this.#database.control.query<StoredRow>({
      ...BEGIN_POSITIONS,
      values: [
        this.#function,
        this.#topic,
        extents.map((each) => each.partition),
        extents.map((each) => each.low),
        extents.map((each) => each.high),
        topicId,
      ],
    });
    return rows.map(toStored);
  }

  /** Notes which topic a position is of, if it still is where it was seen. */
  async adopt(partition: number, next: number, topicId: string): Promise<void> {
    await this.#database.control.query(
      `update muster.position set topic_id = $5
       where function = $1 and topic = $2 and partition = $3 and next = $4 and problem is null`,
      [this.#function, this.#topic, partition, next, topicId],
    );
  }

  /** Time by the database's clock. */
  async clock(): Promise<string> {
    const { rows } = await this.#database.control.query<{ now: string }>(
      'select clock_timestamp()::text as now',
    );
    return rows[0]!.now;
  }

  /**
   * Notes what the owner of the partitions has seen. `asked` is the time by {@link clock} before it looked:
   * a process that paused since has seen what was there then. Just now, unless given.
   */
  async report(extents: readonly OffsetRange[], asked: string | null = null): Promise<Progress> {
    const { rows } = await this.#database.control.query<SeenRow>({
      ...REPORT_PROGRESS,
      values: [
        this.#function,
        this.#topic,
        extents.map((each) => each.partition),
        extents.map((each) => each.high),
        asked,
      ],
    });
    const positions = new Map<number, number>();
    for (const { partition, next } of rows) {
      if (partition !== null && next !== null) positions.set(partition, Number(next));
    }
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

  /**
   * Lets the partition rest until somebody decides: whoever is in the middle of a chunk of it fails. False:
   * the position is not `next` any more, so that what was found out is about the past.
   */
  async rest(partition: number, problem: string, next: number | null = null): Promise<boolean> {
    const { rowCount } = await this.#database.control.query(
      `update muster.position set problem = $5
       where function = $1 and topic = $2 and partition = $3
         and next = coalesce($4, next)`,
      [this.#function, this.#topic, partition, next, problem],
    );
    return rowCount === 1;
  }

  /** Forgets partitions of an earlier topic that the topic of this id does not have. */
  async forget(topicId: string, partitions: readonly number[]): Promise<GonePartition[]> {
    const { rows } = await this.#database.control.query<GoneRow>({
      ...FORGET_POSITIONS,
      values: [this.#function, this.#topic, topicId, partitions],
    });
    return rows.map(({ partition, next, lost }) => ({
      partition,
      next: Number(next),
      lost: Number(lost),
    }));
  }
}

const STORED = `
  select partition, next, last_timestamp as "lastTimestamp", problem, topic_id as "topicId" from muster.position
  where function = $1 and topic = $2 and partition = any ($3::int[])`;

function toStored({ next, lastTimestamp, ...row }: StoredRow): StoredPosition {
  return {
    ...row,
    next: Number(next),
    lastTimestamp: lastTimestamp === null ? null : Number(lastTimestamp),
  };
}

interface GoneRow {
  partition: number;
  next: string;
  lost: string;
}

interface SeenRow {
  paused: boolean;
  partition: number | null;
  next: string | null;
}

interface StoredRow {
  partition: number;
  next: string;
  lastTimestamp: string | null;
  problem: string | null;
  topicId: string | null;
}

/** Every position of a projection, by topic and partition; `topic` narrows it. */
export const POSITIONS = `
  select topic, partition, next::float8 as next, log_end::float8 as "end", reported_at as "reportedAt"
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
