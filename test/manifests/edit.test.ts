import { expect, test } from 'vitest';
import { edit } from '../../src/manifests/edit.ts';

test('a text is replaced as it is, and a pattern with its groups', () => {
  expect(edit('topics: [a]', ['[a]', '[$& a]'], [/^(topics):/, '$1 read:'])).toBe(
    'topics read: [$& a]',
  );
});

test.for([['b'], [/b/g]] as const)('a template without %s is an error', ([from]) => {
  expect(() => edit('a', [from, 'c'])).toThrow(`the template of a manifest lacks ${String(from)}`);
});
