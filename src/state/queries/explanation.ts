/** A source row with its state in a set. */
export interface ExplainedRow {
  readonly id: string;
  /** `refused`: a filter excludes the row, so that it does not count. */
  readonly state: 'present' | 'refused';
  readonly since: string;
  /** Position in the source's log; null for a row that a snapshot read, and for an event. */
  readonly lsn: string | null;
  /** Commit or read time at the source, time of an event. */
  readonly at: string;
  readonly refusedBy?: { readonly column: string; readonly wanted: unknown; readonly got: unknown };
  /** Columns for which no change has carried a value yet (TOASTed, and unchanged since). */
  readonly unavailable?: readonly string[];
}

export interface ExplainedPart {
  readonly part: string;
  /** What a part reads that is not a table: `event <type>` or `topic <name>`; then its rows are events or records. */
  readonly stream?: string;
  readonly have: number;
  readonly need: number;
  /** Rows that did not change, and events that arrived, before then are unknown or lack columns; null if all are known. */
  readonly unsyncedSince: string | null;
  readonly rows: readonly ExplainedRow[];
}

/** The state of a set, and why it did or did not run. */
export interface Explanation {
  readonly function: string;
  readonly key: string;
  readonly status: 'unknown' | 'waiting' | 'complete' | 'running' | 'done' | 'failed';
  readonly missing: readonly string[];
  /** Whether the function is paused: none of its runs starts until it is resumed. */
  readonly paused: boolean;
  /** Newest registered generation of the function. */
  readonly generation: number;
  /** Number of workers with this definition, and with an older one; the latter start no runs. */
  readonly workers: { readonly current: number; readonly outdated: number };
  readonly parts: readonly ExplainedPart[];
  readonly overdue: { readonly at: string; readonly reported: boolean } | null;
  readonly run: {
    readonly revision: number;
    readonly state: string;
    readonly attempts: number;
    readonly createdAt: string;
    readonly startedAt: string | null;
    readonly finishedAt: string | null;
    readonly dueAt: string;
    /** Until when its worker has leased it; after that, another worker takes over. Null if it is not running. */
    readonly leaseUntil: string | null;
    readonly lateChanges: number;
    readonly lastError: string | null;
  } | null;
  readonly events: readonly {
    readonly id: string;
    readonly type: string;
    readonly sentAt: string | null;
    readonly failedAt: string | null;
    readonly attempts: number;
    readonly error: string | null;
  }[];
}
