import type { Tx } from '../../function.ts';
import { similarName } from '../../lib/similar-name.ts';

/** Events of a type, or changes of a table, that workers have ignored because none of their functions names it. */
export interface IgnoredStream {
  /** `other`: all names beyond the maximum. */
  readonly kind: 'event' | 'table' | 'other';
  /** Type or table. */
  readonly name: string;
  readonly count: number;
  readonly firstAt: Date;
  readonly lastAt: Date;
  /** Attribute `source` of one of the latest. */
  readonly source: string | null;
  /** Functions that name it in their newest definition. */
  readonly namedBy: readonly string[];
  /** The type or table that its sender, or the author of a function, probably meant. */
  readonly meant: Named | null;
}

/** A type of events or a table that functions name. */
interface Named {
  readonly kind: 'event' | 'table';
  readonly name: string;
  readonly functions: readonly string[];
  /** Whether any of it has arrived. */
  readonly hasArrived: boolean;
}

/** Returns what was ignored: first what was probably meant to be something else, then the latest first. */
export async function listIgnored(tx: Tx): Promise<IgnoredStream[]> {
  const { rows: ignored } = await tx.query<Omit<IgnoredStream, 'namedBy' | 'meant'>>(IGNORED);
  if (ignored.length === 0) return [];
  const { rows: named } = await tx.query<Named>(NAMED);
  const streams = ignored.map((each): IgnoredStream => {
    const alike = named.filter(({ kind }) => kind === each.kind);
    const namedBy = alike.find(({ name }) => name === each.name)?.functions ?? [];
    const names = alike.map(({ name }) => name);
    const similar = namedBy.length > 0 ? null : similarName(each.name, names);
    return { ...each, namedBy, meant: alike.find(({ name }) => name === similar) ?? null };
  });
  const place = ({ meant }: IgnoredStream) => (meant === null ? 1 : 0);
  return streams.toSorted((a, b) => place(a) - place(b) || b.lastAt.getTime() - a.lastAt.getTime());
}

/** Describes what is known of the intention. */
export function noteOn({ namedBy, meant }: Pick<IgnoredStream, 'namedBy' | 'meant'>): string {
  if (namedBy.length > 0) {
    return `${namedBy.join(', ')} now names it; what was ignored came before, or to workers of other functions`;
  }
  return meant === null
    ? ''
    : `did you mean ${meant.name}, which ${meant.functions.join(', ')} names?`;
}

const IGNORED = `
  select kind, name, count::float8 as count, first_at as "firstAt", last_at as "lastAt", source
  from muster.ignored order by kind, name`;

/** Has anything of the part arrived? A deleted or refused row, too, is one that has. */
const NAMED = `
  select n.kind, n.name, array_agg(distinct f.name order by f.name) as functions,
         bool_or(exists (
           select from muster.member m where m.function = p.function and m.part_index = p.part_index
         )) as "hasArrived"
  from muster.part p
  join muster.function f on f.id = p.function
  cross join lateral (values
    ('table', p.specification ->> 'table'),
    ('event', p.specification ->> 'event'),
    ('event', p.specification ->> 'deletedBy')
  ) as n (kind, name)
  where p.in_use and n.name is not null
  group by n.kind, n.name order by n.kind, n.name`;
