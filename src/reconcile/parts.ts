import type { TablePartSpecification } from '../definitions/part-specification.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { isTablePart, streamOf } from '../definitions/streams.ts';
import type { CapturedTable } from '../intake/wal/captured-table.ts';
import { SourceError } from '../intake/wal/source-error.ts';
import type { TableReader } from '../intake/wal/table-reader.ts';
import type { Database } from '../state/database/database.ts';
import { EVENTS } from '../state/ingest/event-version.ts';
import { listSources, type Source } from '../state/ingest/sources.ts';
import { sourcesOfPart } from '../state/queries/held-rows.ts';
import { whyIncomparable } from './comparable.ts';
import { PartRows } from './part-rows.ts';

/** How the source is called that Muster's own reader of the log reads, before the name of its slot. */
const OWN_READER = 'wal:';

/** Returns the connector of this name, or the only one. Throws {@link SourceError}. */
export async function connectorOf(database: Database, name: string | null): Promise<Source> {
  const known = await knownConnectors(database);
  const newest = newestNames(known);
  const names = newest.map((each) => each.name);
  if (name === null) {
    if (newest.length === 1) return newest[0]!;
    throw new SourceError(
      names.length === 0
        ? 'nothing has arrived from any connector yet'
        : `several connectors are known (${names.join(', ')}): name that of the source with --connector`,
    );
  }
  const found = known.find((each) => each.name === name);
  if (found === undefined) {
    throw new SourceError(`no connector '${name}' is known, only ${names.join(', ') || 'none'}`);
  }
  const successor = newest.find(({ id }) => id === found.id)!;
  if (successor.name === name) return found;
  throw new SourceError(`the connector '${name}' was replaced by ${successor.name}`);
}

async function knownConnectors(database: Database): Promise<Source[]> {
  return (await listSources(database)).filter((each) => each.name !== EVENTS);
}

/** A connector that replaced another has its id, and a later epoch. */
function newestNames(sources: readonly Source[]): Source[] {
  return sources.filter(({ id, epoch }) =>
    sources.every((other) => other.id !== id || other.epoch <= epoch),
  );
}

/** The parts that can be compared, and why others can't be: those of tables, and those of events and records. */
interface Parts {
  readonly parts: readonly PartRows[];
  readonly notCompared: Readonly<Record<string, string>>;
  readonly withoutTable: Readonly<Record<string, string>>;
}

/** Chooses the parts of a function whose rows can be compared with tables of a source. Throws {@link SourceError}. */
export async function comparableParts(
  database: Database,
  fn: RegisteredFunction,
  source: Source,
  reader: TableReader,
  trusts: boolean,
): Promise<Parts> {
  const filtered = await filteredTables(reader, source);
  const connectors = newestNames(await knownConnectors(database));
  const place = { source: source.id, epoch: source.epoch };
  const parts: PartRows[] = [];
  const notCompared: Record<string, string> = {};
  const withoutTable: Record<string, string> = {};
  const tables = new Map<string, CapturedTable | string>();
  for (const part of fn.specification.parts) {
    if (!isTablePart(part)) {
      withoutTable[part.name] = `it reads the ${streamOf(part)}, which no table holds`;
      continue;
    }
    const why =
      (await whyElsewhere(database, fn, part, source, connectors, trusts)) ??
      (filtered.includes(part.table) ? 'the publication has a filter for rows of its table' : null);
    const table = why ?? tables.get(part.table) ?? (await tableOf(fn, part, reader));
    if (why === null) tables.set(part.table, table);
    const problem =
      typeof table === 'string'
        ? table
        : whyIncomparable(part, table, source.name.startsWith(OWN_READER));
    if (problem !== null) notCompared[part.name] = problem;
    else parts.push(new PartRows(database, fn, place, part, table as CapturedTable));
  }
  return { parts, notCompared, withoutTable };
}

/** Returns why the rows of a part come from another connector; null if they come from this one, or may. */
async function whyElsewhere(
  database: Database,
  fn: RegisteredFunction,
  part: TablePartSpecification,
  source: Source,
  connectors: readonly Source[],
  trusts: boolean,
): Promise<string | null> {
  if (connectors.length === 1) return null;
  const held = await sourcesOfPart(database, fn.id, fn.partIndexOf.get(part.name)!);
  if (held.includes(source.id)) return null;
  const names = connectors.filter(({ id }) => held.includes(id)).map(({ name }) => name);
  if (names.length > 0) return `its rows come from ${names.join(', ')}`;
  return trusts
    ? null
    : `none of its rows has arrived, so they may be those of another connector than ${source.name}: if they are not, --force compares them`;
}

/** Returns the table of a part, or why it can't be read. */
async function tableOf(
  { specification }: RegisteredFunction,
  { table }: TablePartSpecification,
  reader: TableReader,
): Promise<CapturedTable | string> {
  const same = specification.parts.filter(isTablePart).filter((each) => each.table === table);
  const columns = new Set(same.flatMap((each) => each.columns));
  return reader.table(table, columns).catch((error: unknown) => {
    if (error instanceof SourceError) return error.message;
    throw error;
  });
}

/** Returns the tables of which Muster's own reader gets only some rows. Throws if this is not the database that it reads. */
async function filteredTables(reader: TableReader, { name }: Source): Promise<readonly string[]> {
  if (!name.startsWith(OWN_READER)) return [];
  const publication = name.slice(OWN_READER.length);
  const { exists, filtered } = await reader.publication(publication);
  if (exists) return filtered;
  throw new SourceError(
    `the source has no publication ${publication}: it is not the database that ${name} reads`,
  );
}
