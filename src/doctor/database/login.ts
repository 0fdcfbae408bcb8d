import { ROLES } from '../../state/schema/roles.ts';
import type { StateContext } from './server.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';

type Role = (typeof ROLES)[number];

/** A privilege that each role must have; grants made before a table was added lack it. */
const PROOFS: readonly [role: Role, privilege: string, relation: string][] = [
  ['muster_intake', 'insert', 'muster.member'],
  ['muster_run', 'delete', 'muster.lease'],
  ['muster_read', 'select', 'muster.set_status'],
  ['muster_keda', 'select', 'muster.due'],
];

/** Checks that the roles for logins exist, one for each kind of process. */
export const roles: Check<StateContext> = {
  id: 'database.roles',
  title: 'roles',
  async run({ inspector }) {
    const there = await inspector.query<{ name: Role }>(
      'select rolname as name from pg_roles where rolname = any ($1)',
      [[...ROLES]],
    );
    const missing = ROLES.filter((role) => !there.some(({ name }) => name === role));
    if (missing.length > 0) {
      return [
        problem(
          `missing: ${missing.join(', ')}; without them each process needs a login with all privileges`,
          'muster migrate   # with a login that may create roles',
        ),
      ];
    }
    const lacking: Role[] = [];
    for (const [role, privilege, relation] of PROOFS) {
      const [row] = await inspector.query<{ may: boolean | null }>(
        'select has_table_privilege($1, to_regclass($2)::oid, $3) as may',
        [role, relation, privilege],
      );
      if (row!.may === false) lacking.push(role);
    }
    return lacking.length > 0
      ? [problem(`privileges missing for ${lacking.join(', ')}`, 'muster migrate')]
      : [fine(ROLES.join(', '))];
  },
};

interface Login {
  readonly name: string;
  readonly isSuper: boolean;
  /** Privileges on tables that it lacks. */
  readonly lacks: string[] | null;
  readonly roles: Role[] | null;
}

/** Checks which tasks of `muster serve` this login may perform. */
export const login: Check<StateContext> = {
  id: 'database.login',
  title: 'login',
  async run({ inspector }) {
    const [row] = await inspector.query<Login>(
      `select current_user as name, (select rolsuper from pg_roles where rolname = current_user) as "isSuper",
              (select json_agg(rolname order by rolname) from pg_roles
               where rolname = any ($1) and pg_has_role(current_user, oid, 'usage')) as roles,
              (select json_agg(c.relname || ' (' || p || ')' order by c.relname, p)
               from pg_class c
               cross join unnest(array['select', 'insert', 'update', 'delete']) as p
               where c.relnamespace = to_regnamespace('muster') and c.relkind = 'r'
                 and c.relname !~ '^migration' and not has_table_privilege(c.oid, p)) as lacks`,
      [[...ROLES]],
    );
    return [checkLogin(row!)];
  },
};

function checkLogin({ name, isSuper, lacks, roles: given }: Login): Finding {
  if (isSuper) return fine(`${name}, a superuser: more than any process needs`);
  const has = (role: Role) => given?.includes(role) ?? false;
  if (has('muster_intake') && has('muster_run')) return fine(`${name} may serve`);
  if (lacks === null) {
    return fine(`${name} may do everything: suitable for muster migrate, more than serve needs`);
  }
  const grant = (...wanted: Role[]) => `grant ${wanted.join(', ')} to "${name}";`;
  if (has('muster_intake')) {
    return problem(`${name} may ingest events but not run handlers`, grant('muster_run'));
  }
  if (has('muster_run')) {
    return problem(`${name} may run handlers but not ingest events`, grant('muster_intake'));
  }
  if (has('muster_read')) {
    return fine(`${name} may only read: enough for people and the doctor, not for serve`);
  }
  return problem(
    `${name} may not serve: ${lacks.slice(0, 3).join(', ')}${lacks.length > 3 ? ' …' : ''}`,
    grant('muster_intake', 'muster_run'),
  );
}
