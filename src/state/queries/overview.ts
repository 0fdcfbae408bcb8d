import type { Tx } from '../../function.ts';

/** Counts stop here, so that a backlog does not make the query expensive. */
export const COUNT_LIMIT = 1000;

/** The state of one function; counts stop at {@link COUNT_LIMIT}. */
interface FunctionOverview {
  readonly name: string;
  /** The topic that a projection folds; null for a set function. */
  readonly topic: string | null;
  readonly paused: boolean;
  /** Number of its definition, counted from 1. */
  readonly generation: number;
  /** Leased runs. */
  readonly running: number;
  /** Complete sets whose run waits for a slot. */
  readonly due: number;
  /** Sets whose run failed permanently. */
  readonly failed: number;
  /** Sets that missed their deadline and are still incomplete. */
  readonly overdue: number;
  /** Outgoing events that are not sent yet. */
  readonly unsent: number;
}

export interface Overview {
  readonly functions: readonly FunctionOverview[];
  /** Parked events. */
  readonly parked: number;
}

/** Returns the state of all registered functions. Each count is taken along an index, up to its limit. */
export async function overview(tx: Tx): Promise<Overview> {
  const { rows: functions } = await tx.query<FunctionOverview>(FUNCTIONS, [COUNT_LIMIT]);
  const { rows } = await tx.query<{ parked: number }>(
    'select count(*)::int as parked from (select from muster.parked limit $1) p',
    [COUNT_LIMIT],
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
