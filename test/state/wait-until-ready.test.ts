import { expect, test } from 'vitest';
import { withGrowingGaps } from '../../src/state/wait-until-ready.ts';

test('a wait is reported in growing intervals, and at once when its reason changes', () => {
  let seconds = 0;
  const reported: string[] = [];
  const report = withGrowingGaps(
    ({ error }, reason) => reported.push(`${seconds} ${reason}: ${error}`),
    () => seconds * 1_000,
  );
  for (; seconds < 300; seconds++) {
    const error = seconds < 200 ? 'refused' : 'no such host';
    report({ error, since: '' }, 'waiting');
  }
  const at = (error: string) =>
    reported.filter((each) => each.endsWith(error)).map((each) => Number.parseInt(each, 10));
  expect(at('refused')).toEqual([0, 1, 3, 7, 15, 31, 63, 123, 183]);
  expect(at('no such host')).toEqual([200, 201, 203, 207, 215, 231, 263]);
});
