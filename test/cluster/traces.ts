import type { Database } from './database.ts';
import { eventually } from './say.ts';
import type { Recording } from './source.ts';

export interface Attempt {
  readonly attempt: number;
  readonly pod: string;
}

/** The records that handlers write into the state database; see functions/recordings/migrations. */
export class Traces {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The attempts that have started, or whose effect is committed, oldest first. */
  of(recording: Recording, table: 'started' | 'effect'): Promise<Attempt[]> {
    return this.#database.query<Attempt & Record<string, unknown>>(
      `select attempt, pod from recordings.${table} where recording = $1 order by at`,
      [recording.id],
    );
  }

  async count(recording: Recording, table: 'started' | 'effect'): Promise<number> {
    const [row] = await this.#database.query<{ count: number }>(
      `select count(*)::int as count from recordings.${table} where recording = $1`,
      [recording.id],
    );
    return row!.count;
  }

  /** The number of attempts that have started in the given pods without an effect yet. */
  async underWay(recording: Recording, pods: readonly string[]): Promise<number> {
    const [row] = await this.#database.query<{ count: number }>(
      `select count(*)::int as count from recordings.started s where recording = $1 and pod = any($2)
       and not exists (select from recordings.effect e where e.run = s.run)`,
      [recording.id, pods],
    );
    return row!.count;
  }

  /** Waits until `count` effects are committed; the comparison at the end would find additional ones. */
  async effects(recording: Recording, count: number, seconds: number): Promise<void> {
    const stand = () => this.count(recording, 'effect');
    const isDone = async () => (await stand()) >= count;
    await eventually(`${count} processed`, isDone, seconds, stand);
  }

  /** The keys of all effects; a key whose effect happened twice is listed twice. */
  async effectsOfAll(): Promise<string[]> {
    const rows = await this.#database.query<{ key: string }>(
      `select recording || ' ' || span as key from recordings.effect`,
    );
    return rows.map(({ key }) => key).toSorted();
  }
}
