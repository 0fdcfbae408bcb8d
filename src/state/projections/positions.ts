import type { Database } from '../database/database.ts';
import { sql } from '../sql.ts';

const BEGIN_POSITIONS = sql('begin-positions');
const REPORT_PROGRESS = sql('report-progress');
const LOSE_RECORDS = sql('lose-records');
const FORGET_POSITIONS = sql('forget-positions');

/** The range of offsets in a partition: from `low`, inclusively, to `high`, exclusively. */
export interface OffsetRange {
  readonly partition: number;
  readonly low: number;
  readonly high: number;
}

/** The topic that has the name now. */
export interface TopicNow {
  /** Changes when the topic is recreated; null if the broker is too old to report it. */
  readonly id: string | null;
  /** All of its partitions; null if unknown. */
  readonly partitions: readonly number[] | null;
}

/** A partition whose position was deleted because its topic was recreated with fewer partitions. */
export interface GonePartition {
  readonly partition: number;
  readonly next: number;
  /** Number of records that were never read. */
  readonly lost: number;
}

/** The position at which reading continues in a partition. */
export interface StoredPosition {
  readonly partition: number;
  readonly next: number;
  /** Id of the topic that the position belongs to, if it is known. */
  readonly topicId: string | null;
  /** Timestamp of the record before `next`, if it is known: a different one belongs to a different topic. */
  readonly lastTimestamp: number | null;
  /** Why the partition is stopped until an operator decides; null if it is not stopped. */
  readonly problem: string | null;
}

/** Result of a progress report by the owner of partitions. */
export interface Progress {
  /** Whether the function is paused. */
  readonly paused: boolean;
  /** Stored positions of the partitions, which an operator may have moved. */
  readonly positions: ReadonlyMap<number, number>;
}

/** Positions stores the progress of a projection in the partitions of a topic. */
export class Positions {
  readonly #database: Database;
  readonly #function: number;
  readonly #topic: string;

  constructor(database: Database, fn: number, topic: string) {
    this.#database = database;
    this.#function = fn;
    this.#topic = topic;
  }

  /** Returns the positions of those of these partitions that have one. */
  async stored(partitions: readonly number[]): Promise<StoredPosition[]> {
    const { rows } = await this.#database.control.query<StoredRow>(STORED, [
      this.#function,
      this.#topic,
      partitions,
    ]);
    return rows.map(toStored);
  }

  /** Returns the positions of these partitions, and creates missing ones at the earliest record. */
  async begin(
    ranges: readonly OffsetRange[],
    topicId: string | null = null,
  ): Promise<StoredPosition[]> {
    const { rows } = await this.#database.control.query<StoredRow>({
      ...BEGIN_POSITIONS,
      values: [
        this.#function,
        this.#topic,
        ranges.map((each) => each.partition),
        ranges.map((each) => each.low),
        ranges.map((each) => each.high),
        topicId,
      ],
    });
    return rows.map(toStored);
  }

  /** Records the topic that a position belongs to, unless the position has moved. */
  async adopt(partition: number, next: number, topicId: string): Promise<void> {
    await this.#database.control.query(
      `update muster.position set topic_id = $5
       where function = $1 and topic = $2 and partition = $3 and next = $4 and problem is null`,
      [this.#function, this.#topic, partition, next, topicId],
    );
  }

  /** Returns the database's time. */
  async clock(): Promise<string> {
    const { rows } = await this.#database.control.query<{ now: string }>(
      'select clock_timestamp()::text as now',
    );
    return rows[0]!.now;
  }

  /**
   * Records the ends of the partitions as their owner has seen them. `asOf` is the time by {@link clock} before
   * the owner requested them, by default now: a process that froze since then knows only the state of that time.
   */
  async report(ranges: readonly OffsetRange[], asOf: string | null = null): Promise<Progress> {
    const { rows } = await this.#database.control.query<SeenRow>({
      ...REPORT_PROGRESS,
      values: [
        this.#function,
        this.#topic,
        ranges.map((each) => each.partition),
        ranges.map((each) => each.high),
        asOf,
      ],
    });
    const positions = new Map<number, number>();
    for (const { partition, next } of rows) {
      if (partition !== null && next !== null) positions.set(partition, Number(next));
    }
    return { paused: rows[0]?.paused === true, positions };
  }

  /** Skips to `next`, because the topic no longer has the records from `first` on; false if the position has moved. */
  async lose(partition: number, first: number, next: number): Promise<boolean> {
    const { rowCount } = await this.#database.control.query({
      ...LOSE_RECORDS,
      values: [this.#function, this.#topic, partition, first, next],
    });
    return rowCount === 1;
  }

  /**
   * Stops the partition until an operator decides; a chunk in progress fails. Returns false if the position is no
   * longer `next`, so that the problem is obsolete.
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

  /** Deletes the positions of an earlier topic's partitions that the topic of this id does not have. */
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

/** Selects the positions of a projection in a topic, by partition. */
export const POSITIONS = `
  select topic, partition, next::float8 as next, log_end::float8 as "end", reported_at as "reportedAt"
  from muster.position where function = $1 and topic = $2 order by topic, partition`;

/** LostRecords records gaps for functions whose positions are stored in Kafka. */
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
