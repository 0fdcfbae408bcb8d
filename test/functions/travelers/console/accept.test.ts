import { expect, test } from 'vitest';
import { preferred } from '../../../../functions/travelers/console/accept.ts';

test.for([
  [undefined, 'application/json'],
  ['', 'application/json'],
  ['*/*', 'application/json'],
  ['text/csv', 'text/csv'],
  ['text/*', 'text/csv'],
  ['TEXT/CSV;q=1.0', 'text/csv'],
  ['application/json;q=0.1, text/csv', 'text/csv'],
  ['application/json, text/csv', 'application/json'],
  ['*/*;q=0.5, application/json;q=0', 'text/csv'],
  ['application/*;q=0, */*', 'text/csv'],
  ['text/html, */*;q=0.1', 'application/json'],
  ['image/png', null],
  ['text/csv;q=nonsense', null],
] as const)('of JSON and CSV, Accept: %s selects %s', ([accept, type]) => {
  expect(preferred(accept, ['application/json', 'text/csv'])).toBe(type);
});
