import type { StateContext } from './server.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';

/** A source that has been silent this long while another is active has presumably been replaced. */
const SILENT = '1 day';

interface PartSources {
  readonly function: string;
  readonly table: string;
  /** Names of the connectors whose rows are in its sets. */
  readonly sources: string[];
  /** Those that fell silent while others continued. */
  readonly silent: string[];
}

/** Two sources of one part are either two tenants or one renamed connector, whose rows then count twice. */
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
       where f.need[p.part_index] > 0 and p.specification ? 'table' order by 1, 2`,
    );
    const several = parts.filter(({ sources }) => (sources?.length ?? 0) > 1);
    if (several.length === 0) return [fine('the rows of each part come from one connector')];
    return several.map(checkSources);
  },
};

function checkSources({ function: fn, table, sources, silent }: PartSources): Finding {
  const message = `${fn}: rows of ${table} come from ${sources.join(' and ')}, and those with equal keys share a set`;
  const [old] = silent;
  if (old === undefined) return fine(message);
  const successor = sources.find((each) => !silent.includes(each)) ?? '<new>';
  return problem(
    `${message}; nothing has arrived from ${old} for over ${SILENT}`,
    `muster source replace ${old} ${successor}, if ${successor} took its place; or: muster source forget ${old}`,
  );
}
