import type { Tx } from '../../function.ts';
import type { PartSpecification } from '../../definitions/part-specification.ts';
import type { Specification } from '../../definitions/specification.ts';
import { isMessagePart, isTablePart, streamOf } from '../../definitions/streams.ts';
import { metFilters, refusedBy } from '../filters.ts';
import { LSN_BITS } from '../version.ts';
import { keyHash } from '../key-hash.ts';
import { sql } from '../sql.ts';
import type { ExplainedPart, ExplainedRow, Explanation } from './explanation.ts';

const EXPLAIN_SET = sql('explain-set');

interface StoredRun {
  revision: number;
  complete: boolean;
  state: 'ready' | 'running' | 'done' | 'failed';
  attempt: number;
  created_at: string;
  lease_until: string | null;
  started_at: string | null;
  finished_at: string | null;
  due_at: string;
  late: number;
  error: string | null;
}

interface StoredRow {
  partIndex: number;
  source: number;
  id: string;
  inSet: boolean;
  version: string;
  at: number;
  since: string;
  columns: Record<string, unknown> | null;
  unavailable: string[] | null;
}

type SpecificationOf = ReadonlyMap<number, PartSpecification | undefined>;

interface Row {
  name: string;
  paused: boolean;
  generation: number;
  workers: Explanation['workers'];
  counts: number[] | null;
  /** Null for a set that is complete or done. */
  deadline: string | null;
  reported: boolean;
  run: StoredRun | null;
  parts: { part: string; partIndex: number; need: number; unsyncedSince: string | null }[];
  members: StoredRow[];
  events: Explanation['events'];
  definition: Specification;
}

/** Explains one set; returns null if no function of that name is registered. */
export async function explain(
  tx: Pick<Tx, 'query'>,
  fn: string,
  key: string,
): Promise<Explanation | null> {
  const { rows } = await tx.query<Row>(EXPLAIN_SET.text, [fn, keyHash(key)]);
  const [row] = rows;
  if (row === undefined) return null;
  const specificationOf = new Map(
    row.parts.map(({ part, partIndex }) => [
      partIndex,
      row.definition.parts.find((each) => each.name === part),
    ]),
  );
  const members = withoutRepetitions(row.members, specificationOf);
  const parts = row.parts.map(({ part, partIndex, need, unsyncedSince }): ExplainedPart => {
    const specification = specificationOf.get(partIndex);
    const isMessage = specification !== undefined && isMessagePart(specification);
    return {
      part,
      ...(isMessage && { stream: streamOf(specification) }),
      have: row.counts?.[partIndex - 1] ?? 0,
      need,
      unsyncedSince,
      rows: members
        .filter((member) => member.partIndex === partIndex)
        .map((member) => toRow(member, specification)),
    };
  });
  return {
    function: row.name,
    key,
    status: statusOf(row),
    missing: parts.filter((part) => part.have < part.need).map((part) => part.part),
    paused: row.paused,
    generation: row.generation,
    workers: row.workers,
    parts,
    overdue: row.deadline === null ? null : { at: row.deadline, reported: row.reported },
    run: row.run === null ? null : toRun(row.run),
    events: row.events,
  };
}

/**
 * Removes duplicates of a source row, which is stored for each part on its stream. A row that is in the set for
 * some part is shown there; a row that all parts reject is shown for the part whose filters it matches best.
 */
function withoutRepetitions(
  members: readonly StoredRow[],
  specificationOf: SpecificationOf,
): readonly StoredRow[] {
  const bySource = Map.groupBy(members, ({ partIndex, source, id }) => {
    const specification = specificationOf.get(partIndex);
    const stream = specification === undefined ? partIndex : streamOf(specification);
    return `${stream}/${source}/${id}`;
  });
  const met = ({ partIndex, columns }: StoredRow) => {
    const specification = specificationOf.get(partIndex);
    return specification === undefined ? 0 : metFilters(columns ?? {}, specification);
  };
  return [...bySource.values()].flatMap((same) => {
    const inSet = same.filter((member) => member.inSet);
    return inSet.length > 0 ? inSet : same.toSorted((a, b) => met(b) - met(a)).slice(0, 1);
  });
}

function toRow(member: StoredRow, specification: PartSpecification | undefined): ExplainedRow {
  const columns = member.columns ?? {};
  const refused =
    member.inSet || specification === undefined ? null : refusedBy(columns, specification);
  return {
    id: member.id,
    state: member.inSet ? 'present' : 'refused',
    since: member.since,
    lsn: specification === undefined || isTablePart(specification) ? lsnOf(member.version) : null,
    at: new Date(member.at).toISOString(),
    ...(refused !== null && {
      refusedBy: {
        column: refused,
        wanted: specification!.where[refused],
        got: columns[refused] ?? null,
      },
    }),
    ...(member.unavailable !== null && { unavailable: member.unavailable }),
  };
}

function statusOf({ counts, run }: Row): Explanation['status'] {
  if (run === null) return counts === null ? 'unknown' : 'waiting';
  if (run.state === 'running' || run.state === 'done') return run.state;
  if (!run.complete) return 'waiting';
  return run.state === 'failed' ? 'failed' : 'complete';
}

function toRun(run: StoredRun): Explanation['run'] {
  return {
    revision: run.revision,
    state: run.state,
    attempts: run.attempt,
    createdAt: run.created_at,
    startedAt: run.started_at,
    finishedAt: run.finished_at,
    dueAt: run.due_at,
    leaseUntil: run.state === 'running' ? run.lease_until : null,
    lateChanges: run.late,
    lastError: run.error,
  };
}

function lsnOf(version: string): string | null {
  const bits = BigInt(version);
  return bits <= 0n ? null : String(bits & ((1n << LSN_BITS) - 1n));
}
