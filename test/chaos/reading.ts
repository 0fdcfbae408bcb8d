/** What tests of processes that read a source's log have in common: its tables, a load, and the comparison. */
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import type { TestProcess } from '../support/process.ts';
import type { TestDatabase } from '../support/test.ts';
import { dropSlot, newSlot } from '../support/wal.ts';

const TABLES = ['item', 'bounded', 'brief', 'batched'].map(
  (name) => `create table ${name} (id text primary key, k text, kind text);`,
);
export const READING = 'reading changes from the log of the source';
export const WAITING = 'another process reads the slot, waiting to take over';

/** Creates the tables of the functions in a source, and returns the settings of a process that reads it. */
export async function sourceOf(source: TestDatabase, slot = newSlot()) {
  await source.query(TABLES.join('\n'));
  return { INTAKE: 'wal', SOURCE_DATABASE_URL: source.url, WAL_SLOT: slot };
}

/** The same of a source on the server that all tests share, where the slot must not stay. */
export async function sharedSourceOf(source: TestDatabase) {
  const settings = await sourceOf(source);
  onTestFinished(() => dropSlot(source, settings.WAL_SLOT));
  return settings;
}

export function hasLogged(process: TestProcess, msg: string): boolean {
  return process.log.some((line) => line['msg'] === msg);
}

/**
 * Writes sets until the test stops it: both rows in one transaction or in two, with updates and deletes in between. A
 * set whose writer lost its connection stays as it is.
 */
export function load(source: Pick<TestDatabase, 'query'>) {
  const state = { sets: 0, lost: 0, isOver: false };
  onTestFinished(() => void (state.isOver = true));
  const writing = (async () => {
    for (let n = 0; !state.isOver; n++) {
      await writeSet(source, n).then(
        () => void state.sets++,
        () => {
          state.lost++;
          return sleep(20);
        },
      );
    }
  })();
  return {
    /** Number of sets whose last row is committed. */
    get sets() {
      return state.sets;
    },
    /** Number of sets whose writer lost its connection. */
    get lost() {
      return state.lost;
    },
    async stop() {
      state.isOver = true;
      await writing;
      return state.sets;
    },
  };
}

async function writeSet(source: Pick<TestDatabase, 'query'>, n: number): Promise<void> {
  const k = `set${n}`;
  await source.query(`insert into item values ($1 || 'a', $1, 'a')`, [k]);
  if (n % 3 === 0) await source.query(`update item set kind = kind where k = $1`, [k]);
  if (n % 7 === 0) {
    await source.query(`delete from item where k = $1`, [k]);
    await source.query(`insert into item values ($1 || 'a2', $1, 'a')`, [k]);
  }
  await source.query(`insert into item values ($1 || 'b', $1, 'b')`, [k]);
}

/** Compares the handler's table with the source. */
export async function compare(source: TestDatabase, state: TestDatabase) {
  const complete = await source.query<{ k: string }>(
    'select k from item group by k having count(distinct kind) = 2',
  );
  const effects = await state.query<{ k: string; times: number }>(
    `select split_part(run, '/', 2) as k, count(*)::int as times from effect group by 1`,
  );
  const done = new Set(effects.map(({ k }) => k));
  return {
    lost: complete.filter(({ k }) => !done.has(k)).length,
    twice: effects.filter(({ times }) => times > 1).length,
    done: done.size,
  };
}
