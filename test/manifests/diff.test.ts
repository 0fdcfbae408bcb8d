import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { unifiedDiff } from '../../src/manifests/diff.ts';

const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `${from + i}\n`).join('');

const CASES: readonly (readonly [name: string, before: string, after: string])[] = [
  ['a changed line', lines(1, 20), lines(1, 20).replace('10', 'ten')],
  ['two changes near each other', lines(1, 30), lines(1, 30).replace('9\n', '').replace('14', 'x')],
  [
    'two changes far apart',
    lines(1, 30),
    lines(1, 30).replace('2\n', '2\nnew\n').replace('28\n', ''),
  ],
  ['an addition at the begin', 'b\n', 'a\nb\n'],
  ['a removal at the end', 'a\nb\nc\n', 'a\nb\n'],
  ['an empty text that is filled', '', 'a\nb\n'],
  ['a text that is emptied', 'a\n', ''],
  ['a missing end of line before', 'a\nb', 'a\nb\n'],
  ['a missing end of line after', 'a\nb\n', 'a\nb'],
  ['equal texts', 'a\nb\n', 'a\nb\n'],
];

test.skipIf(spawnSync('diff', ['--version']).status !== 0).each(CASES)(
  '%s is shown as diff shows it',
  (_name, before, after) => {
    const folder = mkdtempSync(join(tmpdir(), 'muster-diff-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'before'), before);
    writeFileSync(join(folder, 'after'), after);
    const labels = ['--label', 'a/x.yaml', '--label', 'b/x.yaml'];
    const args = ['--unified', ...labels, 'before', 'after'];
    const { stdout } = spawnSync('diff', args, { cwd: folder, encoding: 'utf8' });
    expect(unifiedDiff('x.yaml', before, after)).toBe(stdout);
  },
);

/** Applies a difference as patch does, but only where its ranges and all of its lines fit. */
function patched(before: string, diff: string): string {
  const old = before.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const result: string[] = [];
  let at = 0;
  const body = diff.split(/^@@ /m).slice(1);
  for (const hunk of body) {
    const [, from, length, to, added] = /^-(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n/.exec(hunk)!;
    const start = Number(from) - (length === '0' ? 0 : 1);
    result.push(...old.slice(at, start));
    expect(result.length).toBe(Number(to) - (added === '0' ? 0 : 1));
    at = start;
    const size = result.length;
    for (const [, kind, line, noEnd] of hunk
      .slice(hunk.indexOf('\n') + 1)
      .matchAll(/^([ +-])(.*)\n(\\ No newline at end of file\n)?/gm)) {
      const text = noEnd === undefined ? `${line}\n` : line!;
      if (kind !== '+' && old[at++] !== text) throw new Error(`line ${at} is not ${line}`);
      if (kind !== '-') result.push(text);
    }
    expect([at - start, result.length - size]).toEqual([Number(length ?? 1), Number(added ?? 1)]);
  }
  return [...result, ...old.slice(at)].join('');
}

test('a difference turns one text into the other', () => {
  const text = fc
    .array(fc.constantFrom('a\n', 'b\n', 'c\n', '\n', '- d\n'), { maxLength: 40 })
    .chain((all) => fc.constantFrom(all.join(''), all.join('').replace(/\n$/, '')));
  fc.assert(
    fc.property(text, text, (before, after) => {
      expect(patched(before, unifiedDiff('x', before, after))).toBe(after);
    }),
    { numRuns: 500 },
  );
});
