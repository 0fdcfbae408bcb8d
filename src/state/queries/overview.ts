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
    select function, least(count(*), $1) as n from muster.leased group by function
  ) leased on leased.function = f.id
  cross join lateral (select count(*)::int as n from (
    select from muster.queue q
    join muster.sets s on s.function = q.function and s.key_hash = q.key_hash and s.token = q.token
    where q.function = f.id and q.due_at <= now() and s.complete
    order by q.due_at limit $1
  ) first) due
  cross join lateral (select count(*)::int as n from (
    select from muster.queue q
    join muster.sets s on s.function = q.function and s.key_hash = q.key_hash and s.token = q.token
    where q.function = f.id and q.due_at = 'infinity' and s.complete
    order by q.key_hash limit $1
  ) first) failed
  cross join lateral (select count(*)::int as n from (
    select from muster.overdue o
    join muster.sets s on s.function = o.function and s.key_hash = o.key_hash
    where o.function = f.id and s.state is distinct from 'done' and not s.complete
      and not exists (select from muster.leased l where l.function = o.function and l.key_hash = o.key_hash)
    order by o.key_hash limit $1
  ) first) overdue
  cross join lateral (select count(*)::int as n from (
    select from muster.outbox o
    where o.function = f.id and o.sent_at is null and o.failed_at is null
    order by o.due_at limit $1
  ) first) unsent
  order by f.name`;
