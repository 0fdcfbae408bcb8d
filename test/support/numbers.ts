import { defineProjection, TerminalError, type ProjectionDefinition } from '../../src/function.ts';

/** Tables of {@link numbers}, without constraints, so that records that are applied twice are stored twice. */
export const NUMBERS = `
  create table total (partition int primary key, records bigint not null, sum bigint not null);
  create table applied (topic text, partition int, first bigint, next bigint, pid int not null);
`;

interface Sample {
  readonly n: number;
}

/** Counts and sums the `n` of its records by partition. */
export function numbers(
  more: Partial<ProjectionDefinition<Sample>> = {},
): ProjectionDefinition<Sample> {
  return defineProjection<Sample>({
    name: 'numbers',
    topic: 'numbers',
    read({ value }) {
      const { n } = JSON.parse(String(value)) as { n: unknown };
      if (n === 'skipped') return undefined;
      if (typeof n !== 'number') throw new Error(`n is ${JSON.stringify(n)}, not a number`);
      return { n };
    },
    async apply(records, chunk, tx) {
      if (records.some(({ n }) => n === -1)) throw new TerminalError('-1 is refused');
      await tx.query(
        `insert into total as t
         select $1, count(*), sum(n) from unnest($2::int[]) as u (n)
         on conflict (partition) do update
         set records = t.records + excluded.records, sum = t.sum + excluded.sum`,
        [chunk.partition, records.map(({ n }) => n)],
      );
      await tx.query('insert into applied values ($1, $2, $3, $4, $5)', [
        chunk.topic,
        chunk.partition,
        chunk.from,
        chunk.next,
        process.pid,
      ]);
    },
    ...more,
  });
}
