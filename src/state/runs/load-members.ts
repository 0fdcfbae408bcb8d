import type { SpanContext } from '@opentelemetry/api';
import { fromHex } from '../../telemetry/trace.ts';
import type { Database } from '../database/database.ts';
import { parseExact } from '../../lib/exact-integers.ts';
import type { PartOf } from '../../definitions/registered-function.ts';
import { deriveColumns } from '../derived-columns.ts';
import { sql } from '../sql.ts';
import type { Lease } from '../lease.ts';

/** A row of a set, as stored for the handler. */
export interface StoredMember {
  readonly partIndex: number;
  readonly id: string;
  readonly version: string;
  /** Integers beyond 2^53 are `bigint`. */
  readonly columns: Record<string, unknown>;
  readonly since: Date;
  /** Columns for which no change has carried a value. */
  readonly unavailable: readonly string[];
  /** Trace context of the event that carried the row, if that was sampled. */
  readonly trace: SpanContext | null;
}

/** The rows of a set, and the size of their columns as JSON. */
export interface LoadedSet {
  readonly members: readonly StoredMember[];
  readonly bytes: number;
}

const NONE: readonly string[] = [];

const LOAD_MEMBERS = sql('load-members');
const MEASURE_SET = sql('measure-set');

/** Loads the rows of sets, in the given order, up to `maxBytes`; returns null for each set that does not fit. */
export async function loadMembers(
  database: Database,
  partOf: PartOf,
  leases: readonly Lease[],
  maxBytes: number,
): Promise<(LoadedSet | null)[]> {
  const { rows } = await database.control.query<MemberOfLease>({
    ...LOAD_MEMBERS,
    values: [leases.map((each) => each.function), leases.map((each) => each.keyHash), maxBytes],
  });
  const sets = leases.map((): { members: StoredMember[]; bytes: number } | null => ({
    members: [],
    bytes: 0,
  }));
  for (const row of rows) {
    const { n, partIndex, id, version, columns, since, unavailable, trace } = row;
    if (!row.fits) sets[n - 1] = null;
    const set = sets[n - 1];
    if (set == null) continue;
    const { function: fn, key } = leases[n - 1]!;
    const part = partOf(fn, partIndex);
    if (part === undefined) continue; // of a former part, which is removed soon
    set.bytes += columns?.length ?? key.length + id.length;
    set.members.push({
      partIndex,
      id,
      version,
      columns:
        columns === null
          ? deriveColumns(part, key, id, row.literals!, BigInt)
          : (parseExact(columns, BigInt) as Record<string, unknown>),
      since,
      unavailable: unavailable ?? NONE,
      trace: trace === null ? null : fromHex(trace),
    });
  }
  return sets;
}

/** Returns the number of rows that {@link loadMembers} would load for a set, and the bytes that it would count. */
export async function measureSet(
  database: Database,
  lease: Lease,
): Promise<{ rows: number; bytes: number }> {
  const { rows } = await database.control.query<{ rows: number; bytes: number }>({
    ...MEASURE_SET,
    values: [lease.function, lease.keyHash],
  });
  return rows[0]!;
}

interface MemberOfLease {
  n: number;
  partIndex: number;
  id: string;
  version: string;
  /** Whether the columns of this row and of those before it are within the limit. */
  fits: boolean;
  literals: number | null;
  columns: string | null;
  since: Date;
  unavailable: string[] | null;
  trace: string | null;
}
