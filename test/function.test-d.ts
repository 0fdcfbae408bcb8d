/** Checked by `npx tsc`: a line below `@ts-expect-error` must not compile, and every other must. */
import {
  all,
  any,
  atLeast,
  defineFunction,
  defineProjection,
  type OutgoingEvent,
} from '../src/function.ts';
import { defineConsole } from '../src/console/plugin.ts';

const parts = {
  eeg: { table: 'datastore.signal', key: ['recording', 'span'] },
  motion: { table: 'datastore.signal', key: ['recording', 'span'] },
} as const;

export const fine = defineFunction({
  name: 'fine',
  parts,
  complete: all('eeg', any('motion', atLeast(1, 'eeg', 'motion'))),
  overdueAfter: '15 minutes',
  handle(set, { tx, runId, attempt, signal, log }) {
    const key: string = set.key.recording + set.key.span;
    const ids: string[] = set.parts.eeg.map(({ id }) => id);
    log.info({ key, ids, attempt, aborted: signal.aborted }, runId);
    void tx.query('select 1', [attempt]);
    return [{ type: 'fine.done', data: ids }];
  },
});

export const typos = defineFunction({
  name: 'typos',
  parts,
  // @ts-expect-error no part has that name
  complete: all('eeg', 'emg'),
  // @ts-expect-error no unit
  overdueAfter: '15',
  // @ts-expect-error neither 'skip' nor 'run'
  history: 'never',
  handle(set) {
    // @ts-expect-error no part has that name
    void set.parts.emg;
    // @ts-expect-error no key column has that name
    void set.key.recoding;
    // @ts-expect-error a set is read-only
    set.revision = 2;
  },
});

defineFunction({
  name: 'wrong-rule',
  parts,
  // @ts-expect-error a typo within an inner rule
  complete: all('eeg', any('motoin')),
  handle() {},
});

defineFunction({
  name: 'wrong-part',
  // @ts-expect-error a part needs a table
  parts: { eeg: { key: 'recording' } },
  handle() {},
});

// @ts-expect-error an event needs a type
defineFunction({ name: 'wrong-event', parts, handle: () => [{ data: 1 }] });

// @ts-expect-error a function needs a handler
defineFunction({ name: 'no-handler', parts });

const made: OutgoingEvent[] = [];

export const handlers = [
  defineFunction({ name: 'nothing', parts, handle() {} }),
  defineFunction({ name: 'nothing-later', parts, async handle() {} }),
  defineFunction({ name: 'throws', parts, handle: () => Promise.reject(new Error('no')) }),
  defineFunction({ name: 'elsewhere', parts, handle: () => made }),
  defineFunction({
    name: 'now-and-then',
    parts,
    retry: { attempts: 3, first: '1 second' },
    async handle(set) {
      await Promise.resolve();
      if (set.revision > 1) return;
      return [{ type: 'one' }, { type: 'two', subject: set.key.span, data: set.parts.motion }];
    },
  }),
  defineFunction({
    name: 'inline',
    parts: { a: { table: 'a.b', key: 'k', where: { n: 1 }, columns: ['m'], count: 2 } },
    handle: (set) => void set.key.k,
  }),
];

defineFunction({
  name: 'misspelt-in-parts',
  parts: {
    // @ts-expect-error a part has a count
    a: { table: 'a.b', key: 'k', cuont: 2 },
    // @ts-expect-error a part has a where
    b: { table: 'a.b', key: 'k', wehre: { state: 'captured' } },
  },
  handle() {},
});

const misspelt = { a: { table: 'a.b', key: 'k', colums: ['m'] } } as const;
// @ts-expect-error also if the parts are defined elsewhere
defineFunction({ name: 'misspelt-elsewhere', parts: misspelt, handle() {} });

// @ts-expect-error a retry policy has attempts
defineFunction({ name: 'misspelt-in-retry', parts, retry: { atempts: 3 }, handle() {} });

// @ts-expect-error a function has overdueAfter
defineFunction({ name: 'misspelt', parts, overdueafter: '1 minute', handle() {} });

// @ts-expect-error an event has a subject
defineFunction({ name: 'event', parts, handle: () => [{ type: 'x', sbject: 'y' }] });

defineFunction({
  name: 'event-later',
  parts,
  // @ts-expect-error also among valid events, and in a promise
  async handle(set) {
    await Promise.resolve();
    if (set.revision > 1) return;
    return [{ type: 'x' }, { type: 'x', sbject: 'y' }];
  },
});

export const batches = [
  defineFunction({
    name: 'batch',
    parts,
    batch: { size: 100, wait: '1 second' },
    async handleAll(sets, { tx, signal, log }) {
      await tx.query('select', [signal.aborted]);
      log.info({}, sets[0]!.runId);
      return sets.map((set) => [
        { type: 'one', data: [set.attempt, set.traceparent, set.key.span] },
      ]);
    },
  }),
  defineFunction({ name: 'batch-nothing', parts, batch: { size: 1 }, handleAll() {} }),
  defineFunction({
    name: 'batch-some',
    parts,
    batch: { size: 1 },
    handleAll: (sets) => sets.map((set) => (set.revision > 1 ? undefined : made)),
  }),
];

// @ts-expect-error handleAll needs a batch
defineFunction({ name: 'no-batch', parts, handleAll() {} });

defineFunction({
  name: 'misspelt-in-batch',
  parts,
  // @ts-expect-error a batch has a wait
  batch: { size: 1, wiat: '1 second' },
  handleAll() {},
});

// @ts-expect-error a function has only one handler
defineFunction({ name: 'both', parts, batch: { size: 1 }, handle() {}, handleAll() {} });

// @ts-expect-error handleAll returns a list for each set
defineFunction({ name: 'flat', parts, batch: { size: 1 }, handleAll: () => [{ type: 'x' }] });

defineFunction({
  name: 'misspelt-in-list',
  parts,
  batch: { size: 1 },
  // @ts-expect-error an event has a subject
  handleAll: (sets) => sets.map(() => [{ type: 'x', sbject: 'y' }]),
});

// @ts-expect-error a single event is not a list of events
defineFunction({ name: 'single', parts, handle: () => ({ type: 'x' }) });

const projection = {
  name: 'numbers',
  topic: 'numbers',
  read: ({ value }: { value: Buffer | null }) => value?.length,
  async apply(lengths: readonly number[]) {
    await Promise.resolve(lengths);
  },
} as const;
export const ofRecords = defineProjection(projection);
// @ts-expect-error a projection has chunkRecords
defineProjection({ ...projection, chunkRecord: 10 });
// @ts-expect-error also if the type of its records is explicit
defineProjection<number>({ ...projection, chunkRecord: 10 });
const slow = { ...projection, settleevery: '1 second' } as const;
// @ts-expect-error also if it is defined elsewhere
defineProjection(slow);

export const page = defineConsole({ title: 'A page', description: 'What it shows.', routes() {} });
// @ts-expect-error a console has a description
defineConsole({ title: 'A page', descripton: 'What it shows.', routes() {} });
