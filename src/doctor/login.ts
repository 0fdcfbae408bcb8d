import type { StateContext } from './database.ts';
import { type Check, fine, problem } from './finding.ts';

/** May this login do what `muster serve` does? */
export const login: Check<StateContext> = {
  id: 'database.login',
  title: 'login',
  async run({ reader }) {
    const [row] = await reader.query<{ name: string; isSuper: boolean; lacks: string[] | null }>(
      `select current_user as name, (select rolsuper from pg_roles where rolname = current_user) as "isSuper",
              (select json_agg(c.relname || ' (' || p || ')' order by c.relname, p)
               from pg_class c
               cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as p
               where c.relnamespace = to_regnamespace('muster') and c.relkind = 'r'
                 and c.relname !~ '^migration' and not has_table_privilege(c.oid, p)) as lacks`,
    );
    const { name, isSuper, lacks } = row!;
    if (lacks !== null) {
      return [
        problem(
          `${name} may not write ${lacks.slice(0, 4).join(', ')}${lacks.length > 4 ? ' …' : ''}`,
          `grant muster_intake, muster_run to "${name}";`,
        ),
      ];
    }
    return [fine(isSuper ? `${name}, a superuser: more than it needs` : name)];
  },
};
