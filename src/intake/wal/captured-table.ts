import pg from 'pg';
import { ownRowsOf, type Column, type SourceTable } from './source-table.ts';

/** A table with the columns that functions need of it. */
export interface CapturedTable {
  readonly table: SourceTable;
  /** `schema.table` */
  readonly stream: string;
  /** Whether a column is read, by its number. */
  readonly wanted: readonly boolean[];
  /** The columns that are read, and those of the primary key. */
  readonly columns: readonly NumberedColumn[];
  readonly key: readonly NumberedColumn[];
}

interface NumberedColumn extends Column {
  readonly number: number;
}

/** Chooses the columns that functions need (null: all), and the primary key; the others are not even decoded. */
export function capture(table: SourceTable, needed: ReadonlySet<string> | null): CapturedTable {
  const numbered = table.columns.map((column, number) => ({ ...column, number }));
  const key = numbered.filter(({ primaryKey }) => primaryKey);
  // An object has no own property of this name.
  const isRead = ({ name, primaryKey }: Column) =>
    (primaryKey || needed === null || needed.has(name)) && name !== '__proto__';
  return {
    table,
    stream: `${table.schema}.${table.name}`,
    wanted: numbered.map(isRead),
    columns: numbered.filter(isRead),
    key,
  };
}

/** Returns the query for the columns that are read, of all rows of the table. */
export function selectOf({ table, columns }: CapturedTable): string {
  const names = columns.map(({ name }) => pg.escapeIdentifier(name)).join(', ');
  return `select ${names} from ${ownRowsOf(table)}`;
}
