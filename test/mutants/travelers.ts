import type { Mutant } from './mutants.ts';

const FOLD = 'functions/travelers/fold.ts';
const STAGE = 'functions/travelers/stage.ts';
const WATERMARK = 'functions/travelers/watermark.ts';
const LATE = ['test/functions/travelers/late.test.ts'];
const DEFINITIONS = ['test/functions/travelers/definitions.test.ts'];

/** Guards of the fold of travelers. */
export const TRAVELERS_MUTANTS: readonly Mutant[] = [
  {
    name: 'travelers: the watermark moves while chunks are on their way',
    file: STAGE,
    find: `  await tx.query('select pg_advisory_xact_lock_shared($1)', [STAGING_LOCK]);\n`,
    replace: '',
    tests: LATE,
  },
  {
    name: 'travelers: a sample of a time that is folded is staged',
    file: STAGE,
    find: ' || sample.at < watermark',
    replace: '',
    tests: LATE,
  },
  {
    name: 'travelers: a partition with records unread is taken for idle',
    file: WATERMARK,
    find: ' || position.next < position.end',
    replace: '',
    tests: LATE,
  },
  {
    name: 'travelers: a partition that nobody reads is taken for idle',
    file: WATERMARK,
    find: '<= Math.max(lateness, LOOKS)',
    replace: '< Infinity',
    tests: LATE,
  },
  {
    name: 'travelers: what is left of a chunk is folded again',
    file: 'functions/travelers/settle.ts',
    find: '.between(foldedTo, to)',
    replace: '.between(0, to)',
    tests: DEFINITIONS,
  },
  {
    name: 'travelers: duplicates count',
    file: FOLD,
    find: 'if (last >= 0 && at[last] === now) continue;',
    replace: '',
    tests: DEFINITIONS,
  },
  {
    name: 'travelers: of duplicates the first to come counts',
    file: FOLD,
    find: ' || x[before]! - x[place]! || y[before]! - y[place]!',
    replace: '',
    tests: DEFINITIONS,
  },
  {
    name: 'travelers: every bucket of a segment gets its whole path',
    file: FOLD,
    find: 'path * (part / micros)',
    replace: 'path',
    tests: DEFINITIONS,
  },
  {
    name: 'travelers: who was in view counts in each bucket of a window',
    file: 'functions/travelers/history.ts',
    find: 'if (withStart) tally',
    replace: 'tally',
    tests: DEFINITIONS,
  },
  {
    name: 'travelers: a window is final before its visits are over',
    file: 'functions/travelers/settle.ts',
    find: 'to - options.visitTimeout',
    replace: 'to',
    tests: LATE,
  },
];
