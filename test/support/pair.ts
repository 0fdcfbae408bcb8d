import { defineFunction, type FunctionDefinition } from '../../src/function.ts';
import type { RowChange } from '../../src/state/change.ts';
import { change } from './changes.ts';

/** Two parts on one table: a set is complete with a row of kind `a` and one of kind `b`. */
export function pairOf(more: Partial<FunctionDefinition> = {}): FunctionDefinition {
  const pair = defineFunction({
    name: 'pair',
    parts: {
      a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
      b: { table: 'public.item', key: 'k', where: { kind: 'b' } },
    },
    handle() {},
  });
  return { ...(pair as FunctionDefinition), ...more };
}

let lsn = 0;

/** Row 1 of kind `a` in set `k`, at the next position. */
export function partA(
  k = 'x',
  op: 'c' | 'u' | 'd' = 'u',
  id: string | number = `${k}-a`,
): RowChange {
  return change(op, ++lsn, { id, k, kind: 'a' });
}

/** Row 2 of kind `b` in set `k`, at the next position. */
export function partB(
  k = 'x',
  op: 'c' | 'u' | 'd' = 'u',
  id: string | number = `${k}-b`,
): RowChange {
  return change(op, ++lsn, { id, k, kind: 'b' });
}
