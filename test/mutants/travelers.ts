import type { Mutant } from './mutants.ts';

const FOLD = 'functions/travelers/fold/fold.ts';
const STAGE = 'functions/travelers/ingest/stage.ts';
const WATERMARK = 'functions/travelers/fold/watermark.ts';
const HEARD = 'functions/travelers/ingest/heard.ts';
const CLOCK = ['test/functions/travelers/fold/clock.test.ts'];
const LATE = ['test/functions/travelers/ingest/late.test.ts'];
const DEFINITIONS = ['test/functions/travelers/ingest/definitions.test.ts'];

/** Guards of the travelers fold. */
export const TRAVELERS_MUTANTS: readonly Mutant[] = [
  {
    name: 'travelers: the watermark moves while chunks are being staged',
    file: STAGE,
    find: `  await tx.query('select pg_advisory_xact_lock_shared($1)', [STAGING_LOCK]);\n`,
    replace: '',
    tests: LATE,
  },
  {
    name: 'travelers: a sample from a folded time is staged',
    file: STAGE,
    find: ' || sample.at < watermark',
    replace: '',
    tests: LATE,
  },
  {
    name: 'travelers: a partition with unread records counts as idle',
    file: WATERMARK,
    find: ' || position.next < position.end',
    replace: '',
    tests: LATE,
  },
  {
    name: 'travelers: a partition without a reader counts as idle',
    file: WATERMARK,
    find: 'age <= Math.max(lateness, MAX_REPORT_AGE)',
    replace: 'age < Infinity',
    tests: LATE,
  },
  {
    name: 'travelers: already folded samples are folded again',
    file: 'functions/travelers/fold/settle.ts',
    find: '.between(foldedTo, to)',
    replace: '.between(0, to)',
    tests: DEFINITIONS,
  },
  {
    name: 'travelers: duplicates are counted',
    file: FOLD,
    find: 'if (last >= 0 && at[last] === now) continue;',
    replace: '',
    tests: DEFINITIONS,
  },
  {
    name: 'travelers: the first duplicate to arrive is used',
    file: FOLD,
    find: ' || x[before]! - x[index]! || y[before]! - y[index]!',
    replace: '',
    tests: DEFINITIONS,
  },
  {
    name: 'travelers: every bucket of a segment gets the whole path',
    file: FOLD,
    find: 'path * (part / micros)',
    replace: 'path',
    tests: DEFINITIONS,
  },
  {
    name: 'travelers: a traveler in view is counted in each bucket of a window',
    file: 'functions/travelers/query/history.ts',
    find: 'if (withStart) tally',
    replace: 'tally',
    tests: DEFINITIONS,
  },
  {
    name: 'travelers: a window is final before its visits are over',
    file: 'functions/travelers/fold/settle.ts',
    find: 'to - options.visitTimeout',
    replace: 'to',
    tests: LATE,
  },
  {
    name: 'travelers: the newest sample alone determines the time',
    file: HEARD,
    find: 'this.doubts >= ENOUGH ? this.second : this.newest',
    replace: 'this.newest',
    tests: CLOCK,
  },
  {
    name: 'travelers: a late sensor contradicts the newest time',
    file: HEARD,
    find: ' && at >= this.second - lateness',
    replace: '',
    tests: CLOCK,
  },
  {
    name: 'travelers: a silent sensor holds back time forever',
    file: HEARD,
    find: ' || gap > this.#bounds.aheadAtMost',
    replace: '',
    tests: CLOCK,
  },
  {
    name: 'travelers: a corrected clock is distrusted',
    file: HEARD,
    find: 'gap <= lateness || ',
    replace: '',
    tests: CLOCK,
  },
  {
    name: 'travelers: a fast clock moves the watermark beyond now',
    file: WATERMARK,
    find: 'Math.min(reached, witnessed, now.getTime() * 1000)',
    replace: 'Math.min(reached, witnessed)',
    tests: CLOCK,
  },
  {
    name: 'travelers: a fast clock moves the watermark while records wait',
    file: WATERMARK,
    find: 'isBehind && second > 0 ? second : reached',
    replace: 'reached',
    tests: CLOCK,
  },
  {
    name: 'travelers: silence is measured after the wait for the lock',
    file: WATERMARK,
    find: '(extract(epoch from now() - heard_at)',
    replace: '(extract(epoch from clock_timestamp() - heard_at)',
    tests: CLOCK,
  },
  {
    name: "travelers: a partition's last contact is the start of its chunk",
    file: STAGE,
    find: '$6, $7, clock_timestamp())',
    replace: '$6, $7, now())',
    tests: CLOCK,
  },
  {
    name: 'travelers: a forgotten partition holds back the watermark',
    file: WATERMARK,
    find: 'where heard_at < now()',
    replace: 'where false',
    tests: CLOCK,
  },
  {
    name: 'travelers: a partition that starts during a turn is forgotten',
    file: WATERMARK,
    find: 'where heard_at < now()',
    replace: 'where true',
    tests: CLOCK,
  },
  {
    name: 'travelers: a pause within the lateness makes a partition idle',
    file: 'functions/travelers/options.ts',
    find: 'durations.idleAfter < durations.lateness',
    replace: 'false',
    tests: CLOCK,
  },
  {
    name: 'travelers: an idle partition that was not checked recently does not hold back the watermark',
    file: WATERMARK,
    find: 'newest - Math.max(0, age - lateness)',
    replace: 'newest',
    tests: CLOCK,
  },
  {
    name: 'travelers: the watermark moves backwards',
    file: WATERMARK,
    find: ' where watermark < $1',
    replace: '',
    tests: CLOCK,
  },
  {
    name: 'travelers: two turns fold at once',
    file: 'functions/travelers/fold/progress.ts',
    find: '${PROGRESS} for update',
    replace: '${PROGRESS}',
    tests: CLOCK,
  },
];
