import type pg from 'pg';

export interface Filling {
  /** The number of the first set; the number determines the key. */
  readonly from: number;
  readonly sets: number;
  /** Rows per set, half of them in each of the two parts of workload.ts. */
  readonly rowsPerSet: number;
  /** `ready`: complete with a due run; `done`: complete and run; `waiting`: lacks a row, with a deadline. */
  readonly state: 'ready' | 'done' | 'waiting';
  /** The number of rows of a waiting set; all but one by default. */
  readonly held?: number;
}

/** Keys as in workload.ts: the uuid of a recording, and its only span. */
const RECORDING = `'0193b000-0000-7000-8000-' || lpad(to_hex(s), 12, '0')`;
const KEY = `format('["0193b000-0000-7000-8000-%s","[0,60000000000)"]', lpad(to_hex(s), 12, '0'))`;
/** Ids above those of all events that are sent. */
const ID = `format('0193b002-0000-7000-8000-%s', lpad(to_hex(s * $3 + m), 12, '0'))`;

/**
 * Writes sets as ingesting them one by one would leave them, with three statements: members, sets, and
 * runs or deadlines. The function of workload.ts must be registered.
 */
export async function fillSets(
  client: pg.Client,
  {
    from,
    sets,
    rowsPerSet,
    state,
    held = state === 'waiting' ? rowsPerSet - 1 : rowsPerSet,
  }: Filling,
): Promise<void> {
  const { rows } = await client.query<{ id: number }>(
    `select id from muster.function where name = 'bench'`,
  );
  const fn = rows[0]!.id;
  const range = [from, from + sets - 1];
  await client.query(
    `insert into muster.member (function, part_index, source, id, version, at, key, in_set, columns, since)
     select $4::int, part_index, 1, id, 8, $5::bigint, key, true,
            jsonb_build_object('id', id, 'span', '[0,60000000000)', 'recording', recording,
                               'sensor_type', (array['eeg', 'accelerometer'])[part_index]), now()
     from (select 1 + (m >= $3 / 2)::int as part_index, ${RECORDING} as recording, ${KEY} as key, ${ID} as id
           from generate_series($1::bigint, $2::bigint) s, generate_series(0::bigint, $6::bigint - 1) m) x
     where $3::bigint > 0`,
    [...range, rowsPerSet, fn, Date.now() - 86_400_000, held],
  );
  await client.query(
    `insert into muster.sets (function, key, counts, fresh)
     select $3::int, ${KEY}, array[$4::int, $5::int] || array_fill(0, array[14]), $4::int + $5::int
     from generate_series($1::bigint, $2::bigint) s`,
    [...range, fn, Math.min(held, rowsPerSet / 2), Math.max(0, held - rowsPerSet / 2)],
  );
  if (state === 'waiting') {
    await client.query(
      `insert into muster.deadline (function, due_at, keys)
       select $3::int, now() + interval '1 hour', array_agg(${KEY}) from generate_series($1::bigint, $2::bigint) s group by s / 100`,
      [...range, fn],
    );
    return;
  }
  const done = state === 'done';
  await client.query(
    `insert into muster.run
       (function, key, revision, complete, state, token, attempt, due_at, created_at, started_at, finished_at)
     select $3::int, ${KEY}, 1, true, $4::muster.run_state, $5::int, $5::int, now(), now(),
            case when $5::int = 1 then now() end, case when $5::int = 1 then now() end
     from generate_series($1::bigint, $2::bigint) s`,
    [...range, fn, state, done ? 1 : 0],
  );
}
