import { expect, test } from 'vitest';
import { readable } from '../../src/local/dev-server/log-lines.ts';

const line = (fields: object) => JSON.stringify({ level: 40, time: 0, ...fields });

test("an error has the frames of the user's own files on lines of their own", () => {
  const at = [
    'at handle (file:///home/me/orders/functions/orders.ts:9:11)',
    'at call (file:///home/me/orders/node_modules/musterjs/runs/call-handler.js:40:3)',
    'at processTicksAndRejections (node:internal/process/task_queues:104:5)',
    'at new Promise (<anonymous>)',
  ];
  const text = readable(line({ msg: 'the attempt failed', function: 'orders', at }));
  expect(text?.split('\n')).toEqual([
    expect.stringMatching(/ warning: the attempt failed {2}function=orders$/),
    '    at handle (file:///home/me/orders/functions/orders.ts:9:11)',
  ]);
});

test('a usual line is left out, and what is no log line is printed as it is', () => {
  expect(readable(line({ msg: 'serving' }))).toBeNull();
  expect(readable('{ "level": 40')).toBe('{ "level": 40');
});
