import { WrongUse } from './wrong-use.ts';

const OTHER: ReadonlyMap<string, string> = new Map([
  ['mysql:', 'MySQL'],
  ['mariadb:', 'MariaDB'],
  ['sqlserver:', 'SQL Server'],
  ['oracle:', 'Oracle'],
  ['mongodb:', 'MongoDB'],
]);

/** Requires the URL of a PostgreSQL database. `needs`: what the command reads there, which no other database has. */
export function checkSourceUrl(url: string | undefined, needs: string): void {
  if (url === undefined) return;
  const protocol = /^(?:jdbc:)?([a-z+]+:)/i.exec(url)?.[1]?.toLowerCase() ?? '';
  if (/^postgres(ql)?:$/.test(protocol)) return;
  const other = OTHER.get(protocol);
  throw new WrongUse(
    other === undefined
      ? '--source must be a URL that begins with postgres:// or postgresql://'
      : `--source is of ${other}, but only works with PostgreSQL: it reads ${needs}. Changes of ${other} come from Debezium`,
  );
}
