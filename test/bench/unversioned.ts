import pg from 'pg';

/**
 * The ingest statement as it would be if rows were never updated or deleted: without comparing versions
 * and without retraction. Used only to measure the cost of versions and tombstones.
 */
const MEMBERS = `members as (
  insert into muster.member as m (function, part_index, source, id, key_hash, in_set, columns)
  select c.function, c.part_index, c.source, c.id, c.key_hash, c.in_set, c.columns
  from unnest($3::int[], $4::smallint[], $5::text[], $6::bigint[], $7::bigint[], $8::uuid[],
              $9::boolean[], $10::uuid[], $11::jsonb[], $12::jsonb[], $17::bytea[], $18::int[], $19::bigint[], $24::smallint[])
         as c (function, part_index, id, version, at, key_hash, in_set, history, columns, missing_columns, trace, source, commits, literals)
  where (select is_current from current)
  order by c.function, c.part_index, c.source, c.id collate "C"
  on conflict (function, part_index, source, id) do nothing
  returning m.function, m.part_index, m.source, m.id, false as unresolved, false as was_in_set, false as was_fresh,
            null::uuid as left_set, m.key_hash, m.in_set, null::uuid as history
),
moves as (`;

/** Drops the columns that only versions and tombstones need, and what depends on them. */
export const UNVERSIONED_SCHEMA = `
  alter table muster.member drop column version cascade, drop column at cascade,
    drop column commits cascade, drop column history cascade, drop column missing_columns cascade,
    drop column since cascade`;

/** Makes this process send the ingest statement without versions from now on. */
export function forgetVersions(): void {
  const pools = pg.Pool.prototype as unknown as {
    query: (this: pg.Pool, config: { name?: string; text: string }, ...more: unknown[]) => unknown;
  };
  const { query } = pools;
  pools.query = function queryUnversioned(config, ...more) {
    if (config.name !== 'ingest-changes') return query.call(this, config, ...more);
    const text = config.text.replace(/^members as \(\n[^]*?^moves as \(/m, MEMBERS);
    if (text === config.text) {
      throw new Error('ingest-changes.sql has changed; adapt the replacements');
    }
    return query.call(this, { ...config, text }, ...more);
  };
}
