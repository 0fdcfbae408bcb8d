import type { Ingestor } from '../intake/wal/delivery.ts';
import { WalIntake } from '../intake/wal/intake.ts';

export type FollowedChange = Parameters<Ingestor['ingestChange']>[0];

export interface FollowTablesOptions {
  /** URL of the database with the tables. */
  readonly url: string;
  /** Name of the replication slot and of the publication. */
  readonly slot: string;
  /** `source.name` of the changes. */
  readonly source: string;
  /** Each as `schema.table`. */
  readonly tables: readonly string[];
  /** Resolves once a change is delivered. Rejects with an `AbortError` if it is given up because of a stop. */
  readonly deliver: (change: FollowedChange) => Promise<unknown>;
  /** Called with a line about a change that can't be read, or about changes that are lost. */
  readonly say: (line: string) => void;
  /** Called with the reason when reading ends or changes are not delivered; both are tried again. */
  readonly onTrouble: (why: string) => void;
  /** Called each time that reading begins. */
  readonly onReading: () => void;
}

const QUEUE_BYTES = 4 * 1024 * 1024;
const DRAIN_MS = 500;

/**
 * Delivers the rows of tables once, and then every change from the log. What was ingested is not known here, but to the
 * process that changes are delivered to: a slot continues where it was acknowledged.
 */
export function followTables(options: FollowTablesOptions): WalIntake {
  const { url, slot, source, tables, deliver, say, onTrouble, onReading } = options;
  return new WalIntake({
    url,
    slot,
    source,
    functions: [],
    tables: new Map(tables.map((table) => [table, null])),
    ingestor: {
      ingestChange: deliver,
      park: (_origin, _reason, detail) => Promise.resolve(say(detail)),
    },
    state: {
      ingestedUpTo: () => Promise.resolve(0n),
      registerSource: () => Promise.resolve(),
      noteSnapshot: () => Promise.resolve(),
    },
    queueBytes: QUEUE_BYTES,
    drainMs: DRAIN_MS,
    closed: () => null,
    log: {
      info() {},
      warn: ({ error }: { readonly error?: string }, message) => onTrouble(error ?? message),
      error: ({ why }: { readonly why?: string }, message) =>
        say(why ? `${why}: ${message}` : message),
    },
    onReading: (isReading) => isReading && onReading(),
    onDelivered() {},
    onProgress() {},
    onSlotLost() {},
  });
}
