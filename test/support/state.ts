import type pg from 'pg';
import type { TestDatabase } from './test.ts';

/** Returns the runs by key, without their times. */
export async function runsOf(db: TestDatabase) {
  return db.query<{
    key: string;
    revision: number;
    complete: boolean;
    state: string;
    token: string;
    attempt: number;
    late: number;
  }>(
    'select key, revision, complete, state, token, attempt, late from muster.run order by function, key',
  );
}

/** Returns the sets by key with the counts of their first part indexes; not those that are only done-marks. */
export async function setsOf(db: TestDatabase, partIndexes = 2) {
  return db.query<{ key: string; counts: number[]; fresh: number }>(
    `select key, array(select coalesce(counts[i], 0) from generate_series(1, $1) i order by i) as counts, fresh
     from muster.sets where state is distinct from 'done' or fresh <> 0 or 0 <> any (counts) order by function, key`,
    [partIndexes],
  );
}

/** Returns the sets whose counts don't match their members (always none), of all functions or of some. */
export async function miscountedIn(
  db: Pick<pg.Pool, 'query'>,
  functions: readonly number[] | null = null,
) {
  const { rows } = await db.query(
    `with counted as (
       select function, key_hash, live_rows,
              array(select coalesce((part_indexes ->> part_index::text)::int, 0) from generate_series(1, 16) part_index order by part_index) as counts
       from (select function, key_hash, sum(fresh)::int as live_rows, jsonb_object_agg(part_index, n) as part_indexes
             from (select function, key_hash, part_index, count(*) as n, count(*) filter (where muster.is_fresh(in_set, key_hash, history)) as fresh
                   from muster.member where in_set and ($1::int[] is null or function = any ($1)) group by function, key_hash, part_index) m
             group by function, key_hash) c
     )
     select coalesce(s.function, c.function) as function, s.key,
            s.counts as stored, c.counts as counted, s.fresh as live_stored, c.live_rows as live_counted
     from (select *, array(select coalesce(counts[i], 0) from generate_series(1, 16) i order by i) as counts16 from muster.sets) s
     full join counted c on c.function = s.function and c.key_hash = s.key_hash
     where ($1::int[] is null or coalesce(s.function, c.function) = any ($1))
       and (coalesce(s.counts16, array_fill(0, array[16])) <> coalesce(c.counts, array_fill(0, array[16]))
            or coalesce(s.fresh, 0) <> coalesce(c.live_rows, 0))`,
    [functions],
  );
  return rows;
}

/** Returns the runs whose `complete` differs from the rule's result for their set (always none). */
export async function misjudgedIn(
  db: Pick<pg.Pool, 'query'>,
  functions: readonly number[] | null = null,
) {
  const { rows } = await db.query(
    `select f.name, s.key, s.counts, s.complete, s.state
     from muster.sets s
     join muster.function f on f.id = s.function
     where ($1::int[] is null or s.function = any ($1))
       and s.complete <> muster.complete(s.counts, f.need, f.gate_need, f.gate_of)`,
    [functions],
  );
  return rows;
}

/**
 * Returns the sets whose state contradicts the queue and the leases (always none): a pending run has one row in the
 * queue or one lease, every other run has neither, and a failed one has its row. Stale rows don't count. Nor does a
 * set without a key.
 */
export async function misplacedIn(
  db: Pick<pg.Pool, 'query'>,
  functions: readonly number[] | null = null,
) {
  const { rows } = await db.query(
    `select s.function, s.key, s.state, s.token, queued.n as queued, leased.n as leased
     from muster.sets s,
          lateral (select count(*)::int as n from muster.queue q
                   where q.function = s.function and q.key_hash = s.key_hash and q.token = s.token
                     and (q.due_at = 'infinity') = (s.state = 'failed')) queued,
          lateral (select count(*)::int as n from muster.lease l, unnest(l.keys, l.tokens) as e (key_hash, token)
                   where l.function = s.function and e.key_hash = s.key_hash and e.token = s.token) leased
     where ($1::int[] is null or s.function = any ($1))
       and (s.key is null
            or case s.state when 'pending' then queued.n + leased.n <> 1
                            when 'failed' then queued.n <> 1
                            else s.state is distinct from 'done' and queued.n + leased.n <> 0 end)`,
    [functions],
  );
  return rows;
}

export const miscounted = (db: TestDatabase, functions?: readonly number[]) =>
  miscountedIn(db.pool, functions);
export const misjudged = (db: TestDatabase, functions?: readonly number[]) =>
  misjudgedIn(db.pool, functions);
export const misplaced = (db: TestDatabase, functions?: readonly number[]) =>
  misplacedIn(db.pool, functions);
