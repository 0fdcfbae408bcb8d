import pg from 'pg';
import { SourceError } from './source-error.ts';
import { quoted } from './source-table.ts';

/** What is noted as the comment on a publication that Muster made. */
interface Note {
  /** The functions that its changes are read for. */
  readonly functions: readonly string[];
  /** Tables whose rows of before they were published have not been read yet. */
  readonly unread: readonly string[];
}

export interface Publication extends Note {
  readonly tables: readonly string[];
  /** Whether it had to be created. */
  readonly isNew: boolean;
}

interface Found {
  readonly isOwned: boolean;
  readonly all: boolean;
  readonly note: string | null;
  readonly tables: string[];
}

const NO_NOTE: Note = { functions: [], unread: [] };

/** Returns the functions that a publication is read for; none if it does not exist, or somebody else made it. */
export async function functionsOf(client: pg.Client, name: string): Promise<readonly string[]> {
  const found = await readPublication(client, name);
  return (parseNote(found?.note ?? null) ?? NO_NOTE).functions;
}

/**
 * Creates a publication of these tables, or adds those that it lacks, whose rows are unread then. Tables that no
 * function needs any more are removed if Muster made it. Throws if it belongs to somebody else and lacks a table.
 */
export async function preparePublication(
  client: pg.Client,
  name: string,
  tables: readonly string[],
  functions: readonly string[],
): Promise<Publication> {
  const found = await readPublication(client, name);
  const id = pg.escapeIdentifier(name);
  if (found === null) {
    const generated = await publishesGenerated(client);
    const options = `publish_via_partition_root = true${generated ? ', publish_generated_columns = stored' : ''}`;
    await client.query(
      `begin; create publication ${id} for table ${tables.map(quoted).join(', ')} with (${options});
       ${noteOf(id, { functions, unread: [] })}; commit`,
    );
    return { tables, functions, unread: [], isNew: true };
  }
  const note = parseNote(found.note);
  const lacking = tables.filter((table) => !found.tables.includes(table));
  const add = `alter publication ${id} add table ${lacking.map(quoted).join(', ')}`;
  if (lacking.length > 0 && !found.isOwned) {
    throw new SourceError(
      `the publication ${name} lacks ${lacking.join(', ')}, and belongs to somebody else: run '${add}', and drop the replication slot ${name} to have their rows read`,
    );
  }
  if (!found.isOwned) return { tables, functions, unread: [], isNew: false };
  const isOurs = note !== null && !found.all;
  const surplus = isOurs ? found.tables.filter((table) => !tables.includes(table)) : [];
  const kept = (note ?? NO_NOTE).unread.filter((table) => tables.includes(table));
  const unread = [...new Set([...kept, ...lacking])];
  const steps = [
    ...(lacking.length > 0 ? [add] : []),
    ...(surplus.length > 0
      ? [`alter publication ${id} drop table ${surplus.map(quoted).join(', ')}`]
      : []),
  ];
  const isNoted = note !== null && same(note, { functions, unread });
  if (steps.length > 0 || (isOurs && !isNoted)) {
    await client.query(
      `begin; ${[...steps, noteOf(id, { functions, unread })].join('; ')}; commit`,
    );
  }
  return { tables, functions, unread, isNew: false };
}

/** Notes that the rows of all tables are read. */
export async function noteAllRead(
  client: pg.Client,
  name: string,
  functions: readonly string[],
): Promise<void> {
  const found = await readPublication(client, name);
  if (found === null || !found.isOwned || parseNote(found.note) === null) return;
  await client.query(noteOf(pg.escapeIdentifier(name), { functions, unread: [] }));
}

/** Whether the publication is still the one that was prepared: it publishes these tables. */
export async function publishes(
  client: pg.Client,
  name: string,
  tables: readonly string[],
): Promise<boolean> {
  const found = await readPublication(client, name);
  return found !== null && tables.every((table) => found.tables.includes(table));
}

async function readPublication(client: pg.Client, name: string): Promise<Found | null> {
  const { rows } = await client.query<Found>(
    `select pg_has_role(p.pubowner, 'usage') as "isOwned", p.puballtables as all,
            obj_description(p.oid, 'pg_publication') as note,
            array(select t.schemaname || '.' || t.tablename from pg_publication_tables t
                  where t.pubname = p.pubname order by 1) as tables
     from pg_publication p where p.pubname = $1`,
    [name],
  );
  return rows[0] ?? null;
}

function noteOf(id: string, note: Note): string {
  return `comment on publication ${id} is ${pg.escapeLiteral(JSON.stringify({ muster: note }))}`;
}

function same(a: Note, b: Note): boolean {
  return a.functions.join() === b.functions.join() && a.unread.join() === b.unread.join();
}

function parseNote(text: string | null): Note | null {
  if (text === null || !text.startsWith('{"muster":')) return null;
  try {
    return (JSON.parse(text) as { muster: Note }).muster;
  } catch {
    return null;
  }
}

async function publishesGenerated(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ version: number }>(
    `select current_setting('server_version_num')::int as version`,
  );
  return rows[0]!.version >= 180_000;
}
