import {
  reconcile,
  type ReconcileOptions,
  type Reconciliation,
} from '../../src/reconcile/reconcile.ts';
import type { RowChange } from '../../src/state/change.ts';
import { storedFunction } from '../../src/state/registration/stored-function.ts';
import { change } from '../support/changes.ts';
import type { TestDatabase } from '../support/test.ts';
import type { TestWorker } from '../support/worker.ts';

/** A streamed change that was committed two minutes ago, so that a read is newer. */
export function past(
  op: 'c' | 'u' | 'd',
  lsn: number,
  row: RowChange['row'],
  more = {},
): RowChange {
  return change(op, lsn, row, { at: Date.now() - 120_000 + lsn, ...more });
}

/** Creates the table of the parts of `pairOf`, with these rows. */
export async function itemsOf(db: TestDatabase, rows: string): Promise<void> {
  await db.query('create table item (id bigint primary key, k text, kind text, note text)');
  await db.query(`insert into item values ${rows}`);
}

/** Compares the worker's first function with the tables of the test's database. */
export async function reconciled(
  db: Pick<TestDatabase, 'url'>,
  worker: TestWorker,
  more: Partial<ReconcileOptions> = {},
): Promise<Reconciliation> {
  await worker.positions.exchange();
  const { name } = worker.served[0]!.specification;
  const fn = (await storedFunction(worker.database, name))!;
  return reconcile(worker.database, fn, {
    url: db.url,
    connector: null,
    waitMs: 0,
    repairs: false,
    trusts: false,
    rerunsForgotten: false,
    say() {},
    ...more,
  });
}
