import type { StateContext } from './database.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';

/** A source that is silent for so long beside one that is not was replaced, as far as anyone can tell. */
const SILENT = '1 day';

interface PartSources {
  readonly function: string;
  readonly table: string;
  /** Names of the connectors with rows in its sets; those that went on after it fell silent. */
  readonly sources: string[];
  readonly silent: string[];
}

/** Two sources with rows of one part are two tenants, or one connector that was renamed: its rows count twice then. */
export const rowSources: Check<StateContext> = {
  id: 'database.sources',
  title: 'sources',
  async run({ inspector }) {
    const parts = await inspector.query<PartSources>(
      `select distinct f.name as function, p.specification ->> 'table' as table, s.sources, s.silent
       from muster.part p join muster.function f on f.id = p.function,
            lateral (
              select array_agg(s.name order by s.name) as sources,
                     coalesce(array_agg(s.name order by s.name) filter (where s.is_silent), '{}') as silent
              from (select name, id, at < max(at) over () - extract(epoch from interval '${SILENT}') * 1000 as is_silent,
                           row_number() over (partition by id order by epoch desc) as place
                    from muster.source) s
              where s.place = 1 and exists (
                select from muster.member m
                where m.function = p.function and m.part_index = p.part_index and m.source = s.id and m.in_set)
            ) s
       where f.need[p.part_index] > 0 order by 1, 2`,
    );
    const several = parts.filter(({ sources }) => (sources?.length ?? 0) > 1);
    if (several.length === 0) return [fine('the rows of each part are of one connector')];
    return several.map(judge);
  },
};

function judge({ function: fn, table, sources, silent }: PartSources): Finding {
  const says = `${fn}: rows of ${table} come from ${sources.join(' and ')}, and those with equal keys share a set`;
  const [old] = silent;
  if (old === undefined) return fine(says);
  const successor = sources.find((each) => !silent.includes(each)) ?? '<new>';
  return problem(
    `${says}; nothing has come from ${old} for over ${SILENT}`,
    `muster source replace ${old} ${successor}, if that one took its place; or: muster source forget ${old}`,
  );
}
