/** Checks of a source whose log Muster reads itself (INTAKE=wal). */
import { tablesOf } from '../../definitions/streams.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';
import { identifier, tableName } from '../plural.ts';
import type { SourceContext } from './wal.ts';

interface Rights {
  readonly login: string;
  readonly database: string;
  readonly mayReplicate: boolean;
  readonly mayCreate: boolean;
  readonly isPublished: boolean;
}

interface TableRights {
  readonly table: string;
  readonly owner: string;
  readonly isOwner: boolean;
  readonly mayRead: boolean;
}

/** What the login needs in order to replicate, to publish the tables, and to read their rows. */
export const rights: Check<SourceContext> = {
  id: 'source.rights',
  title: 'rights',
  async run({ inspector, publication, specifications }) {
    const [own] = await inspector.query<Rights>(
      `select current_user as login, current_database() as database,
              (select rolreplication or rolsuper from pg_roles where rolname = current_user) as "mayReplicate",
              has_database_privilege(current_database(), 'create') as "mayCreate",
              exists (select from pg_publication where pubname = $1) as "isPublished"`,
      [publication],
    );
    const tables = await inspector.query<TableRights>(
      `select n.nspname || '.' || c.relname as table, pg_get_userbyid(c.relowner) as owner,
              pg_has_role(c.relowner, 'usage') as "isOwner",
              has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as "mayRead"
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname || '.' || c.relname = any ($1) and c.relkind in ('r', 'p') order by 1`,
      [tablesOf(specifications)],
    );
    const problems = [...ownRights(own!), ...tables.flatMap((each) => rightsOn(each, own!))];
    return problems.length > 0
      ? problems
      : [fine(`${own!.login} may replicate, and read the tables`)];
  },
};

function ownRights({ login, database, mayReplicate, mayCreate, isPublished }: Rights): Finding[] {
  const role = identifier(login);
  return [
    ...(mayReplicate
      ? []
      : [problem(`${login} may not replicate`, `alter role ${role} replication;`)]),
    ...(mayCreate || isPublished
      ? []
      : [
          problem(
            `${login} may not create a publication`,
            `grant create on database ${identifier(database)} to ${role};`,
          ),
        ]),
  ];
}

function rightsOn(
  { table, owner, isOwner, mayRead }: TableRights,
  { login, isPublished }: Rights,
): Finding[] {
  const role = identifier(login);
  if (!isOwner && !isPublished) {
    return [
      problem(
        `${login} may not publish ${table}, which belongs to ${owner}`,
        `grant ${identifier(owner)} to ${role};`,
      ),
    ];
  }
  return mayRead
    ? []
    : [
        problem(
          `${login} may not read ${table}`,
          `grant usage on schema ${identifier(table.split('.')[0]!)} to ${role}; grant select on ${tableName(table)} to ${role};`,
        ),
      ];
}
