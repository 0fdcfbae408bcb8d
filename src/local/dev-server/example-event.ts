import type { PartSpecification, Specification } from '../../definitions/specification.ts';

/** Returns, for each part, a command that posts a row which fills it: all of them complete one set. */
export function exampleCommands({ parts }: Specification, url: string): string[] {
  return parts.map((part, i) => {
    const [schema, table] = part.table.split('.');
    const source = { name: 'dev', schema, table, lsn: i + 1, ts_ms: Date.UTC(2026, 0, 1) };
    const body = JSON.stringify({ op: 'c', before: null, after: rowOf(part, i), source });
    return [
      `curl ${url} -H 'ce-specversion: 1.0' -H 'ce-type: dev.knative.kafka.event' -H 'ce-source: /me'`,
      `-H 'ce-id: ${i + 1}' -H 'Prefer: return=representation' -d '${body.replaceAll("'", `'\\''`)}'`,
    ].join(' ');
  });
}

/** A row with values for all columns that it must have. */
function rowOf(part: PartSpecification, i: number): Record<string, unknown> {
  const row: Record<string, unknown> = Object.fromEntries(part.columns.map((name) => [name, 1]));
  for (const column of part.id) row[column] = i + 1;
  for (const column of part.key) row[column] = 'example';
  return Object.assign(row, part.where);
}
