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
 * Writes sets as ingesting them one by one would leave them, with three statements: members, sets, and the
 * queue or deadlines. The function of workload.ts must be registered.
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
    `insert into muster.member (function, part_index, source, id, version, at, key_hash, in_set, columns, since)
     select $4::int, part_index, 1, id, 8, $5::bigint, muster.key_hash(key), true,
            jsonb_build_object('id', id, 'span', '[0,60000000000)', 'recording', recording,
                               'sensor_type', (array['eeg', 'accelerometer'])[part_index]), now()
     from (select 1 + (m >= $3 / 2)::int as part_index, ${RECORDING} as recording, ${KEY} as key, ${ID} as id
           from generate_series($1::bigint, $2::bigint) s, generate_series(0::bigint, $6::bigint - 1) m) x
     where $3::bigint > 0`,
    [...range, rowsPerSet, fn, Date.now() - 86_400_000, held],
  );
  await client.query(
    `insert into muster.sets
       (function, key_hash, key, counts, fresh, complete, state, revision, token, attempt, completed_at, due_at, started_at, finished_at)
     select $3::int, muster.key_hash(${KEY}), ${KEY}, array[$4::int, $5::int], $4::int + $5::int, $6 <> 'waiting',
            case $6 when 'done' then 'done' when 'ready' then 'pending' end::muster.run_state,
            ($6 <> 'waiting')::int, ($6 <> 'waiting')::int, ($6 = 'done')::int,
            case when $6 <> 'waiting' then now() end, case when $6 = 'ready' then now() end,
            case when $6 = 'done' then now() end, case when $6 = 'done' then now() end
     from generate_series($1::bigint, $2::bigint) s`,
    [...range, fn, Math.min(held, rowsPerSet / 2), Math.max(0, held - rowsPerSet / 2), state],
  );
  if (state === 'waiting') {
    await client.query(
      `insert into muster.deadline (function, due_at, keys)
       select $3::int, now() + interval '1 hour', array_agg(muster.key_hash(${KEY})) from generate_series($1::bigint, $2::bigint) s group by s / 100`,
      [...range, fn],
    );
  } else if (state === 'ready') {
    await client.query(
      `insert into muster.queue (function, due_at, token, key_hash, is_suspect)
       select $3::int, now(), 1, muster.key_hash(${KEY}), false from generate_series($1::bigint, $2::bigint) s`,
      [...range, fn],
    );
  }
}
