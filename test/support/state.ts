import type { TestDatabase } from './test.ts';

/** The runs by key, as far as they are state and not time. */
export async function runsOf(db: TestDatabase) {
  return db.query<{
    key: string;
    revision: number;
    wanted: boolean;
    state: string;
    token: string;
    attempt: number;
    late: number;
  }>(
    'select key, revision, wanted, state, token, attempt, late from muster.run order by function, key',
  );
}

/** Sets by key with their counts, of the first lanes. */
export async function setsOf(db: TestDatabase, lanes = 2) {
  return db.query<{ key: string; counts: number[]; live: number }>(
    'select key, counts[1:$1] as counts, live from muster.sets order by function, key',
    [lanes],
  );
}

/** Sets whose counts are not those of their members: always none. Of all functions, or of some. */
export async function miscounted(db: TestDatabase, functions: readonly number[] | null = null) {
  return db.query(
    `with counted as (
       select function, key, live_rows,
              array(select coalesce((lanes ->> lane::text)::int, 0) from generate_series(1, 16) lane order by lane) as counts
       from (select function, key, sum(live)::int as live_rows, jsonb_object_agg(lane, n) as lanes
             from (select function, key, lane, count(*) as n, count(*) filter (where muster.is_live(held, key, history)) as live
                   from muster.member where held and ($1::int[] is null or function = any ($1)) group by function, key, lane) m
             group by function, key) c
     )
     select coalesce(s.function, c.function) as function, coalesce(s.key, c.key) as key,
            s.counts as stored, c.counts as counted, s.live as live_stored, c.live_rows as live_counted
     from muster.sets s full join counted c on c.function = s.function and c.key = s.key
     where ($1::int[] is null or coalesce(s.function, c.function) = any ($1))
       and (coalesce(s.counts, array_fill(0, array[16])) <> coalesce(c.counts, array_fill(0, array[16]))
            or coalesce(s.live, 0) <> coalesce(c.live_rows, 0))`,
    [functions],
  );
}

/** Runs whose `wanted` is not the verdict of the rule on their set: always none. */
export async function misjudged(db: TestDatabase, functions: readonly number[] | null = null) {
  return db.query(
    `select f.name, s.key, s.counts, r.wanted, r.state
     from muster.sets s
     join muster.function f on f.id = s.function
     left join muster.run r on r.function = s.function and r.key = s.key
     where ($1::int[] is null or s.function = any ($1))
       and coalesce(r.wanted, false) <> muster.complete(s.counts, f.need, f.gate_need, f.gate_of)`,
    [functions],
  );
}
