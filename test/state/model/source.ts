/**
 * A source database as a connector sees it: the final contents of its tables, and every message about
 * the changes that led to them. Two of its tables are none: events with versions, and records that never change.
 */
import fc from 'fast-check';
import { UNAVAILABLE, type Change, type Row } from '../../../src/state/change.ts';
import { event, record } from '../../support/events.ts';

export const TABLES = ['t1', 't2'] as const;
/** Events that are about a row, and that other events take back; records of a topic. */
const STREAMS = [...TABLES, 'events', 'records'] as const;
export type Table = (typeof STREAMS)[number];

/** A row of either table; `note` is the column that may be stored out of line. */
export interface SourceRow {
  readonly id: number;
  readonly k1: string | null;
  readonly k2: number;
  readonly kind: 'a' | 'b' | 'c';
  readonly note: string;
}

/** One step in the history of the source, without a position yet. */
export type Step =
  | {
      readonly do: 'write';
      readonly table: Table;
      readonly row: SourceRow;
      /** an update that does not change `note` sends no value for it */
      readonly keepNote: boolean;
    }
  | { readonly do: 'delete'; readonly table: Table; readonly id: number }
  | { readonly do: 'rename'; readonly table: Table; readonly id: number; readonly to: number }
  | { readonly do: 'truncate'; readonly table: Table }
  | { readonly do: 'read'; readonly table: Table; readonly ids: readonly number[] };

export interface PlannedStep {
  readonly step: Step;
  /** milliseconds since the previous step */
  readonly pause: number;
}

const table = fc.constantFrom(...STREAMS);
const id = fc.integer({ min: 1, max: 8 });
export const sourceRow: fc.Arbitrary<SourceRow> = fc.record({
  id,
  k1: fc.constantFrom('x', 'x', 'x', 'x', 'y', 'y', 'ž', null),
  k2: fc.constantFrom(1, 1, 2),
  kind: fc.constantFrom('a', 'a', 'b', 'b', 'c'),
  note: fc.constantFrom('n1', 'n2', 'n3', 'n4', 'n5'),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      table,
      row: sourceRow,
      keepNote: fc.boolean(),
    }),
    weight: 60,
  },
  { arbitrary: fc.record({ do: fc.constant('delete' as const), table, id }), weight: 5 },
  { arbitrary: fc.record({ do: fc.constant('rename' as const), table, id, to: id }), weight: 3 },
  { arbitrary: fc.record({ do: fc.constant('truncate' as const), table }), weight: 1 },
  {
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      table,
      ids: fc.uniqueArray(id, { minLength: 1 }),
    }),
    weight: 2,
  },
);

/** Several changes at one time, or apart; some by more than the 60 s within which a change wins over a read. */
const pause = fc.oneof(
  { arbitrary: fc.constant(0), weight: 6 },
  fc.constantFrom(1, 1_000, 59_000, 61_000, 600_000),
);

export const life = (maxLength: number) =>
  fc.array(fc.record({ step, pause }), { minLength: 1, maxLength, size: 'max' });

/** The contents of the source, and its messages so far. */
export class Source {
  readonly #prefix: string;
  readonly #tables = new Map<Table, Map<number, SourceRow>>(
    STREAMS.map((name) => [name, new Map()]),
  );
  #lsn = 1000;
  #revision = 0;
  #at = 1_800_000_000_000;
  readonly messages: Change[] = [];

  /** The initial rows existed before the connector: only its snapshot contains them. */
  constructor(prefix: string, initial: readonly (readonly [Table, SourceRow])[]) {
    this.#prefix = prefix;
    for (const [name, row] of initial) this.#rows(name).set(row.id, row);
  }

  name(name: Table): string {
    return `${this.#prefix}.${name}`;
  }

  rows(name: Table): readonly SourceRow[] {
    return [...this.#rows(name).values()];
  }

  /** The connector's initial snapshot: every row as it is now. */
  initialSnapshot(): Change[] {
    return TABLES.flatMap((name) =>
      this.rows(name).map((row) => this.#read(name, row, 'initial', BigInt(this.#lsn))),
    );
  }

  /** Applies all steps in order; their messages are added to `messages`. */
  live(steps: readonly PlannedStep[]): void {
    for (const { step: each, pause: ms } of steps) {
      this.#at += ms;
      this.#take(each);
    }
  }

  #take(each: Step): void {
    if (each.table === 'events') return this.#takeEvent(each);
    if (each.table === 'records') return this.#takeRecord(each);
    const rows = this.#rows(each.table);
    switch (each.do) {
      case 'write': {
        const before = rows.get(each.row.id);
        if (before === undefined) {
          rows.set(each.row.id, each.row);
          return this.#say(each.table, 'c', { ...each.row });
        }
        const row = { ...each.row, note: each.keepNote ? before.note : each.row.note };
        rows.set(row.id, row);
        return this.#say(each.table, 'u', {
          ...row,
          ...(each.keepNote && { note: UNAVAILABLE }),
        });
      }
      case 'delete':
        if (rows.delete(each.id)) this.#say(each.table, 'd', { id: each.id });
        return;
      case 'rename': {
        // a changed primary key is a delete and a create
        const row = rows.get(each.id);
        if (row === undefined || rows.has(each.to)) return;
        rows.delete(each.id);
        rows.set(each.to, { ...row, id: each.to });
        this.#say(each.table, 'd', { id: each.id });
        return this.#say(each.table, 'c', { ...row, id: each.to });
      }
      case 'truncate':
        rows.clear();
        this.#lsn += 8;
        this.messages.push({
          kind: 'truncate',
          source: this.#prefix,
          table: this.name(each.table),
          lsn: BigInt(this.#lsn),
          at: this.#at,
          handledAt: this.#at,
          lastCommit: null,
          origin: ORIGIN,
        });
        return;
      case 'read':
        for (const wanted of each.ids) {
          const row = rows.get(wanted);
          if (row !== undefined) {
            this.messages.push(this.#read(each.table, row, 'incremental', null));
          }
        }
    }
  }

  #takeEvent(each: Step): void {
    const rows = this.#rows('events');
    switch (each.do) {
      case 'write':
        rows.set(each.row.id, each.row);
        return this.#tell(each.row, 'events');
      case 'delete':
        if (rows.delete(each.id)) this.#tell({ id: each.id }, 'gone');
        return;
      case 'rename': {
        const row = rows.get(each.id);
        if (row === undefined || rows.has(each.to)) return;
        rows.delete(each.id);
        rows.set(each.to, { ...row, id: each.to });
        this.#tell({ id: each.id }, 'gone');
        return this.#tell({ ...row, id: each.to }, 'events');
      }
      case 'truncate':
        for (const known of rows.keys()) this.#tell({ id: known }, 'gone');
        return rows.clear();
      case 'read':
    }
  }

  /** An event that takes another one back may have its version. */
  #tell(data: object, kind: 'events' | 'gone'): void {
    if (kind === 'events') this.#revision++;
    const name = this.name('events');
    const type = kind === 'events' ? name : `${name}.gone`;
    this.messages.push(event(type, { ...data, revision: this.#revision }));
  }

  /** A record is written once, under the next offset, and never changes. */
  #takeRecord(each: Step): void {
    if (each.do !== 'write') return;
    const rows = this.#rows('records');
    const offset = rows.size;
    rows.set(offset, { ...each.row, id: offset });
    this.messages.push(record(this.name('records'), offset, each.row));
  }

  #say(name: Table, op: 'c' | 'u' | 'd', row: Row): void {
    this.#lsn += 8;
    this.messages.push({
      kind: 'row',
      op,
      source: this.#prefix,
      stream: this.name(name),
      lsn: BigInt(this.#lsn),
      at: this.#at,
      handledAt: this.#at,
      lastCommit: null,
      snapshot: null,
      row,
      origin: ORIGIN,
    });
  }

  #read(
    name: Table,
    row: SourceRow,
    snapshot: 'initial' | 'incremental',
    lsn: bigint | null,
  ): Change {
    return {
      kind: 'row',
      op: 'r',
      source: this.#prefix,
      stream: this.name(name),
      lsn,
      at: this.#at,
      handledAt: this.#at,
      lastCommit: null,
      snapshot,
      row: { ...row },
      origin: ORIGIN,
    };
  }

  #rows(name: Table): Map<number, SourceRow> {
    return this.#tables.get(name)!;
  }
}

const ORIGIN = {
  attributes: { source: '/model', id: '1' },
  contentType: null,
  body: new Uint8Array(),
};
