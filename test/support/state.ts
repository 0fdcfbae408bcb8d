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

/** Returns the sets by key with the counts of their first part indexes. */
export async function setsOf(db: TestDatabase, partIndexes = 2) {
  return db.query<{ key: string; counts: number[]; fresh: number }>(
    'select key, counts[1:$1] as counts, fresh from muster.sets order by function, key',
    [partIndexes],
  );
}

/** Returns the sets whose counts don't match their members (always none), of all functions or of some. */
export async function miscounted(db: TestDatabase, functions: readonly number[] | null = null) {
  return db.query(
    `with counted as (
       select function, key, live_rows,
              array(select coalesce((part_indexes ->> part_index::text)::int, 0) from generate_series(1, 16) part_index order by part_index) as counts
       from (select function, key, sum(fresh)::int as live_rows, jsonb_object_agg(part_index, n) as part_indexes
             from (select function, key, part_index, count(*) as n, count(*) filter (where muster.is_fresh(in_set, key, history)) as fresh
                   from muster.member where in_set and ($1::int[] is null or function = any ($1)) group by function, key, part_index) m
             group by function, key) c
     )
     select coalesce(s.function, c.function) as function, coalesce(s.key, c.key) as key,
            s.counts as stored, c.counts as counted, s.fresh as live_stored, c.live_rows as live_counted
     from muster.sets s full join counted c on c.function = s.function and c.key = s.key
     where ($1::int[] is null or coalesce(s.function, c.function) = any ($1))
       and (coalesce(s.counts, array_fill(0, array[16])) <> coalesce(c.counts, array_fill(0, array[16]))
            or coalesce(s.fresh, 0) <> coalesce(c.live_rows, 0))`,
    [functions],
  );
}

/** Returns the runs whose `complete` differs from the rule's result for their set (always none). */
export async function misjudged(db: TestDatabase, functions: readonly number[] | null = null) {
  return db.query(
    `select f.name, s.key, s.counts, r.complete, r.state
     from muster.sets s
     join muster.function f on f.id = s.function
     left join muster.run r on r.function = s.function and r.key = s.key
     where ($1::int[] is null or s.function = any ($1))
       and coalesce(r.complete, false) <> muster.complete(s.counts, f.need, f.gate_need, f.gate_of)`,
    [functions],
  );
}
