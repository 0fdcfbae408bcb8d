import type { Tx } from '../../function.ts';

/** Nothing is counted further than this: a backlog must not make the question dear. */
export const MOST_COUNTED = 1000;

/** How one function stands; numbers are at most {@link MOST_COUNTED}. */
interface FunctionOverview {
  readonly name: string;
  /** The topic that a projection folds; null for a function of sets. */
  readonly topic: string | null;
  readonly paused: boolean;
  /** Which definition of it this is, counted from 1. */
  readonly generation: number;
  /** Runs of a handler under way. */
  readonly running: number;
  /** Complete sets whose run waits for a slot. */
  readonly due: number;
  /** Sets whose handler gave up. */
  readonly failed: number;
  /** Sets that were not complete in time, and still are not. */
  readonly overdue: number;
  /** Outgoing events that are not sent yet. */
  readonly unsent: number;
}

export interface Overview {
  readonly functions: readonly FunctionOverview[];
  /** Events parked because they can't be understood. */
  readonly parked: number;
}

/** How all registered functions stand. Each number is counted along an index, and no further than it is said. */
export async function overview(tx: Tx): Promise<Overview> {
  const { rows: functions } = await tx.query<FunctionOverview>(FUNCTIONS, [MOST_COUNTED]);
  const { rows } = await tx.query<{ parked: number }>(
    'select count(*)::int as parked from (select from muster.parked limit $1) p',
    [MOST_COUNTED],
  );
  return { functions, parked: rows[0]!.parked };
}

const FUNCTIONS = `
  select f.name, f.topic, f.paused, f.generation, coalesce(leased.n, 0)::int as running, due.n as due,
         failed.n as failed, overdue.n as overdue, unsent.n as unsent
  from muster.function f
  left join (
    select r.function, least(count(*), $1) as n from muster.run r
    where r.worker is not null and r.state = 'running' group by r.function
  ) leased on leased.function = f.id
  cross join lateral (select count(*)::int as n from (
    select from muster.run r
    where r.function = f.id and r.state = 'ready' and r.complete and r.due_at <= now()
    order by r.due_at limit $1
  ) first) due
  cross join lateral (select count(*)::int as n from (
    select from muster.run r where r.function = f.id and r.state = 'failed' and r.complete
    order by r.finished_at limit $1
  ) first) failed
  cross join lateral (select count(*)::int as n from (
    select from muster.overdue o
    left join muster.run r on r.function = o.function and r.key = o.key
    where o.function = f.id and (r.state is null or (r.state in ('ready', 'failed') and not r.complete))
    order by o.key limit $1
  ) first) overdue
  cross join lateral (select count(*)::int as n from (
    select from muster.outbox o
    where o.function = f.id and o.sent_at is null and o.failed_at is null
    order by o.due_at limit $1
  ) first) unsent
  order by f.name`;
