import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { NODE, nodeProblem } from '../../src/lib/node-version.ts';

test.for([
  ['22.18.0', true],
  ['22.23.5', true],
  ['24.0.0', true],
  ['26.1.0', true],
  ['20.20.2', false],
  ['22.17.1', false],
  ['23.11.0', false],
] as const)('Node %s: %s', ([version, isSupported]) => {
  expect(nodeProblem(version)).toBe(
    isSupported
      ? null
      : `Node ${version} is not supported: install Node 24 or newer, or 22.18 or a later 22`,
  );
});

test('a new project asks npm for the same versions', () => {
  const template = readFileSync('src/local/template/_package.json', 'utf8');
  expect(JSON.parse(template)).toMatchObject({ engines: { node: NODE } });
});
