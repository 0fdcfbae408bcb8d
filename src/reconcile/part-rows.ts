import type { PartSpecification } from '../definitions/part-specification.ts';
import type { CapturedTable } from '../intake/wal/captured-table.ts';
import type { TableReader } from '../intake/wal/table-reader.ts';
import type { RowChange } from '../state/change.ts';
import type { Database } from '../state/database/database.ts';
import { REMOVED, toMemberRows, type MemberRow } from '../state/ingest/member.ts';
import { heldIds, heldRows, type HeldRow } from '../state/queries/held-rows.ts';
import type { StoredFunction } from '../state/registration/stored-function.ts';
import { versionOfRead, type SourceEpoch } from '../state/version.ts';
import { kindOf, type Difference } from './difference.ts';

/** A row that differs, and the version of it that corrects what is held. */
export interface Suspect extends Difference {
  readonly correction: MemberRow;
  /** Whether the set of its key in the table is known. */
  readonly hasSet: boolean;
}

/** What the table has of some rows of a part. */
interface Looked {
  readonly wanted: readonly MemberRow[];
  readonly isThere: readonly boolean[];
}

/** PartRows compares the rows of one part in their table with what is held of them. */
export class PartRows {
  readonly part: PartSpecification;
  readonly table: CapturedTable;
  readonly #database: Database;
  readonly #fn: StoredFunction;
  readonly #place: SourceEpoch;
  readonly #partIndex: number;
  #equal = 0;

  constructor(
    database: Database,
    fn: StoredFunction,
    place: SourceEpoch,
    part: PartSpecification,
    table: CapturedTable,
  ) {
    this.part = part;
    this.table = table;
    this.#database = database;
    this.#fn = fn;
    this.#place = place;
    this.#partIndex = fn.partIndexOf.get(part.name)!;
  }

  /** Compares rows that were read, as far as they are in a set. One whose key can't be stored is in none. */
  async compare(rows: readonly RowChange[]): Promise<Suspect[]> {
    const wanted = rows.flatMap((row) => this.#memberOf(row) ?? []).filter(({ inSet }) => inSet);
    return this.#differences({ wanted, isThere: wanted.map(() => true) });
  }

  /** Number of rows that were compared, are in a set, and are held in it. */
  get equal(): number {
    return this.#equal;
  }

  /** Returns the ids after `after` of rows that are held in a set, in order. */
  held(after: string, limit: number): Promise<string[]> {
    const { id } = this.#fn;
    return heldIds(this.#database, id, this.#place.source, this.#partIndex, after, limit);
  }

  /** Whether any row is held in a set. */
  async holdsAny(): Promise<boolean> {
    return (await this.held('', 1)).length > 0;
  }

  /** Compares the rows with these ids, as the table has them now. */
  async look(reader: TableReader, ids: readonly string[]): Promise<Suspect[]> {
    const position = await reader.position();
    const { id: columns } = this.part;
    const values = ids.map((id) => (columns.length === 1 ? [id] : textsOf(id)));
    const rows = await reader.find(this.table, columns, values, position);
    const found = new Map<string, MemberRow>();
    for (const row of rows) {
      const member = this.#memberOf(row);
      if (member !== null) found.set(member.id, member);
    }
    const at = Number(position.at / 1000n);
    const version = versionOfRead(position.lsn, at, this.#place);
    const gone = (id: string): MemberRow => ({
      function: this.#fn.id,
      partIndex: this.#partIndex,
      source: this.#place.source,
      id,
      ...version,
      ...REMOVED,
      history: null,
      trace: null,
    });
    return this.#differences({
      wanted: ids.map((id) => found.get(id) ?? gone(id)),
      isThere: ids.map((id) => found.has(id)),
    });
  }

  /** Returns what is held of rows, in their order. */
  holds(rows: readonly MemberRow[]): Promise<HeldRow[]> {
    const wanted = rows.map(({ partIndex, id, inSet, key }) => ({
      partIndex,
      id,
      key: inSet ? key : null,
    }));
    return heldRows(this.#database, this.#fn.id, this.#place.source, wanted);
  }

  async #differences({ wanted, isThere }: Looked): Promise<Suspect[]> {
    const held = await this.holds(wanted);
    return wanted.flatMap((correction, i) => {
      const { heldKey, hasSet } = held[i]!;
      const kind = kindOf(isThere[i]! ? correction : null, held[i]!);
      if (kind === null) {
        if (held[i]!.inSet) this.#equal += 1;
        return [];
      }
      const key = correction.inSet ? correction.key : null;
      return [{ part: this.part.name, id: correction.id, kind, key, heldKey, correction, hasSet }];
    });
  }

  #memberOf(row: RowChange): MemberRow | null {
    const mapped = toMemberRows(row, this.#place, this.#fn, undefined, [this.part]);
    return mapped.rows[0] ?? null;
  }
}

/** Returns the texts of an id of several columns. */
function textsOf(id: string): string[] {
  return JSON.parse(id) as string[];
}
