/** Compares the state with the model. */
import { deriveColumns } from '../../../src/state/derived-columns.ts';
import { partsOf } from '../../../src/definitions/registered-function.ts';
import type { TestWorker } from '../../support/worker.ts';
import { misjudged, miscounted, misplaced, misplacedIn } from '../../support/state.ts';
import type { TestDatabase } from '../../support/test.ts';
import { completeOf, membersOf, type PlannedFunction } from './functions.ts';
import type { Source } from './source.ts';

/** Effects of an attempt other than the one that marked its run done. */
const BY_STRANGERS = `
  select e.* from public.effect e join muster.run r on r.function = e.function and r.key = e.key
  where e.function = $1 and (r.state <> 'done' or r.token <> e.token)`;

/** What must not exist, even after purges. */
export async function flaws(worker: TestWorker, db: TestDatabase): Promise<unknown> {
  const ids = worker.served.map(({ id }) => id);
  const twice = await db.query(
    'select function, key, revision from public.effect where function = any ($1) group by 1, 2, 3 having count(*) > 1',
    [ids],
  );
  const byStrangers = await Promise.all(ids.map((id) => db.query(BY_STRANGERS, [id])));
  const found = [...twice, ...byStrangers.flat()];
  return [
    ...found,
    ...(await miscounted(db, ids)),
    ...(await misjudged(db, ids)),
    ...(await misplaced(db, ids)),
  ];
}

/** The expected result by the model, and the actual state. */
export async function compare(
  worker: TestWorker,
  plans: readonly PlannedFunction[],
  source: Source,
  history: readonly ReadonlySet<string>[],
): Promise<{ expected: unknown; actual: unknown }> {
  const expected: unknown[] = [];
  const actual: unknown[] = [];
  for (const [i, plan] of plans.entries()) {
    const members = membersOf(plan, source).toSorted(byName);
    const complete = completeOf(plan, members);
    const skipped = history[i]!;
    expected.push({
      members,
      counts: countsOf(members),
      wanted: [...complete].toSorted(),
      effects: [...complete].filter((key) => !skipped.has(key)).toSorted(),
      fromHistory: [...skipped].toSorted(),
      twice: [],
      byStrangers: [],
      withoutDeadline: [],
      miscountedLive: [],
      misplaced: [],
    });
    actual.push(await stateOf(worker, i, complete));
  }
  return { expected, actual };
}

function countsOf(members: readonly { part: string; key: string }[]): string[] {
  return [...Map.groupBy(members, (member) => `${member.key} ${member.part}`)]
    .map(([name, rows]) => `${name} ${rows.length}`)
    .toSorted();
}

async function stateOf(worker: TestWorker, i: number, complete: ReadonlySet<string>) {
  const served = worker.served[i]!;
  const partOf = new Map([...served.partIndexOf].map(([part, partIndex]) => [partIndex, part]));
  const specOf = partsOf([served]);
  const query = async <R extends object>(text: string) =>
    (await worker.database.control.query<R>(text, [served.id])).rows;
  const members = await query<{
    partIndex: number;
    id: string;
    key: string;
    literals: number | null;
    columns: object | null;
  }>(
    'select part_index as "partIndex", id, key, literals, columns from muster.member join muster.sets using (function, key_hash) where function = $1 and in_set',
  );
  const counts = await query<{ key: string; partIndex: number; n: number }>(
    `select key, part_index::int as "partIndex", n from muster.sets, unnest(counts) with ordinality as c (n, part_index)
     where function = $1 and n <> 0`,
  );
  const runs = await query<{ key: string; revision: number; complete: boolean }>(
    'select key, revision, complete from muster.run where function = $1',
  );
  const effects = await query<{ key: string; revision: number; n: number }>(
    'select key, revision, count(*)::int as n from public.effect where function = $1 group by key, revision',
  );
  return {
    members: members
      .map(({ partIndex, id, key, literals, columns }) => ({
        part: partOf.get(partIndex)!,
        id,
        key,
        columns:
          columns ?? deriveColumns(specOf(served.id, partIndex)!, key, id, literals!, BigInt),
      }))
      .toSorted(byName),
    counts: counts
      .map(({ key, partIndex, n }) => `${key} ${partOf.get(partIndex)} ${n}`)
      .toSorted(),
    wanted: runs
      .filter((run) => run.complete)
      .map((run) => run.key)
      .toSorted(),
    effects: effects
      .filter(({ key }) => complete.has(key))
      .map(({ key }) => key)
      .toSorted(),
    fromHistory: runs
      .filter((run) => run.revision === 0)
      .map((run) => run.key)
      .toSorted(),
    twice: effects.filter(({ n }) => n > 1),
    byStrangers: await query(BY_STRANGERS),
    withoutDeadline: await query(
      `select s.key from muster.sets s join muster.function f on f.id = s.function
       where s.function = $1 and f.overdue_after is not null and s.fresh > 0
         and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of)
         and s.state is distinct from 'done'
         and not exists (select from muster.leased l where l.function = s.function and l.key_hash = s.key_hash)
         and not exists (select from muster.deadline d where d.function = s.function and s.key_hash = any (d.keys))`,
    ),
    misplaced: await misplacedIn(worker.database.control, [served.id]),
    miscountedLive: await query(
      `select s.key, s.fresh from muster.sets s
       where s.function = $1 and s.fresh <> (select count(*) from muster.member m
         where m.function = s.function and m.key_hash = s.key_hash and muster.is_fresh(m.in_set, m.key_hash, m.history))`,
    ),
  };
}

function byName(a: { part: string; id: string }, b: { part: string; id: string }): number {
  return `${a.part}/${a.id}` < `${b.part}/${b.id}` ? -1 : 1;
}
