import { exampleRow } from '../../definitions/example-row.ts';
import type { PartSpecification, Specification } from '../../definitions/specification.ts';

/** Returns commands that post the rows of one set: for each part as many as it needs. */
export function exampleCommands(
  { parts }: Specification,
  all: readonly PartSpecification[],
  url: string,
): string[] {
  const now = Date.now();
  const rows = parts.flatMap((part) => Array.from({ length: part.count }, () => part));
  return rows.map((part, i) => {
    const [schema, table] = part.table.split('.');
    // A later start prints later positions, so that rows can be posted again with other values.
    const source = { name: 'dev', schema, table, lsn: now + i, ts_ms: now };
    const after = exampleRow(part, all, { id: i + 1, key: 'example' });
    const body = JSON.stringify({ op: 'c', before: null, after, source });
    return [
      `curl ${url} -H 'ce-specversion: 1.0' -H 'ce-type: dev.knative.kafka.event' -H 'ce-source: /me'`,
      `-H 'ce-id: ${i + 1}' -H 'Prefer: return=representation' -d '${body.replaceAll("'", `'\\''`)}'`,
    ].join(' ');
  });
}
