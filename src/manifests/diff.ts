/** Lines around a change. */
const CONTEXT = 3;

interface Line {
  readonly kind: ' ' | '-' | '+';
  readonly text: string;
}

/** Returns the difference of two texts in the unified format, which `git apply` reads; '' if they are equal. */
export function unifiedDiff(file: string, before: string, after: string): string {
  const lines = compare(linesOf(before), linesOf(after));
  const hunks = hunksOf(lines);
  if (hunks.length === 0) return '';
  const texts = hunks.map(([from, to]) => hunk(lines, from, to));
  return `--- a/${file}\n+++ b/${file}\n${texts.join('')}`;
}

/** Lines with their ends; only the last one may have none. */
function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** Aligns two lists by their longest common subsequence. The lists are short, so a whole table is good enough. */
function compare(before: readonly string[], after: readonly string[]): Line[] {
  const common = before.map(() => new Uint32Array(after.length + 1));
  common.push(new Uint32Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i]![j] =
        before[i] === after[j]
          ? common[i + 1]![j + 1]! + 1
          : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    const isRemoved =
      j === after.length || (i < before.length && common[i + 1]![j]! >= common[i]![j + 1]!);
    if (i < before.length && before[i] === after[j]) {
      lines.push({ kind: ' ', text: before[i++]! });
      j++;
    } else if (isRemoved) {
      lines.push({ kind: '-', text: before[i++]! });
    } else {
      lines.push({ kind: '+', text: after[j++]! });
    }
  }
  return lines;
}

/** Ranges of lines that contain all changes with their context; ranges that touch are one. */
function hunksOf(lines: readonly Line[]): [from: number, to: number][] {
  const hunks: [number, number][] = [];
  for (const [i, { kind }] of lines.entries()) {
    if (kind === ' ') continue;
    const [from, to] = [Math.max(0, i - CONTEXT), Math.min(lines.length, i + CONTEXT + 1)];
    const last = hunks.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = to;
    else hunks.push([from, to]);
  }
  return hunks;
}

function hunk(lines: readonly Line[], from: number, to: number): string {
  const range = (sign: '-' | '+', other: '-' | '+') => {
    const count = (some: readonly Line[]) => some.filter(({ kind }) => kind !== other).length;
    const [start, length] = [count(lines.slice(0, from)), count(lines.slice(from, to))];
    // an empty range is named by the line before it, and a length of one is left out
    return `${sign}${length === 0 ? start : start + 1}${length === 1 ? '' : `,${length}`}`;
  };
  const texts = lines.slice(from, to).map(({ kind, text }) => {
    return kind + (text.endsWith('\n') ? text : `${text}\n\\ No newline at end of file\n`);
  });
  return `@@ ${range('-', '+')} ${range('+', '-')} @@\n${texts.join('')}`;
}
