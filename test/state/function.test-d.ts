/** Checked by `npx tsc`: each line below an expected error would be one. */
import { all, any, atLeast, defineFunction } from '../../src/function.ts';

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
  // @ts-expect-error one of two words
  history: 'never',
  handle(set) {
    // @ts-expect-error no part has that name
    void set.parts.emg;
    // @ts-expect-error no key column has that name
    void set.key.recoding;
    // @ts-expect-error a set is read, not written
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
