import { show, InvalidEvent } from '../invalid-event.ts';

/**
 * Debezium's connectors whose changes are read, by `source.connector`. Messages of the others look alike,
 * their snapshot reads above all, but hold no position that could be compared.
 */
const READ: ReadonlyMap<string, string> = new Map([['postgresql', 'PostgreSQL']]);

/**
 * Throws {@link Unreadable} where a change comes from another database, whatever its operation. A message
 * made by hand need not name a connector.
 */
export function requireReadSource(connector: unknown, name: string): void {
  if (connector === undefined || connector === null) return;
  if (typeof connector === 'string' && READ.has(connector)) return;
  const read = [...READ].map(([each, database]) => `${database} (connector ${each})`).join(', ');
  throw new InvalidEvent(
    'unsupported-source',
    `${name} is ${show(connector)}: only changes of ${read} are read`,
  );
}
