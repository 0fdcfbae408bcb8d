import type { PartSpecification } from '../definitions/part-specification.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import type { CapturedTable } from '../intake/wal/captured-table.ts';
import type { LogPosition } from '../intake/wal/envelope.ts';
import { isBadText, type TableReader } from '../intake/wal/table-reader.ts';
import type { RowChange } from '../state/change.ts';
import type { Database } from '../state/database/database.ts';
import { removedRow, toMemberRows, type MemberRow } from '../state/ingest/member.ts';
import {
  heldPage,
  heldRows,
  isUnsynced,
  type HeldPage,
  type HeldRow,
} from '../state/queries/held-rows.ts';
import { versionOfRead, type SourceEpoch } from '../state/version.ts';
import { kindOf, type Difference } from './difference.ts';

/** A row that differs, and the version of it that corrects what is held. */
export interface Suspect extends Difference {
  readonly correction: MemberRow;
  /** Whether it may be missing because its set was done and forgotten. */
  readonly mayBeForgotten: boolean;
}

/** What differs of some rows. */
export interface Sight {
  readonly suspects: readonly Suspect[];
  /** Why it must not be corrected; null if it may be. */
  readonly whyUnreadable: string | null;
}

/** A row as it should be held. */
interface Wanted {
  readonly row: MemberRow;
  /** Whether it is in the table. */
  readonly isThere: boolean;
}

/** PartRows compares the rows of one part in their table with what is held of them. */
export class PartRows {
  readonly part: PartSpecification;
  readonly table: CapturedTable;
  readonly #database: Database;
  readonly #fn: RegisteredFunction;
  readonly #place: SourceEpoch;
  readonly #partIndex: number;
  #equal = 0;

  constructor(
    database: Database,
    fn: RegisteredFunction,
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

  /** How often a row was compared that is in a set, and is held as the table has it, or whose set is done. */
  get equal(): number {
    return this.#equal;
  }

  /** Compares rows that were read, as far as they are in a set. One whose key can't be stored is in none. */
  compare(rows: readonly RowChange[]): Promise<Suspect[]> {
    const members = rows.flatMap((row) => this.#memberOf(row) ?? []);
    return this.#suspects(
      members.filter(({ inSet }) => inSet).map((row) => ({ row, isThere: true })),
    );
  }

  /** Returns a page of the rows that are known, whose ids are `from` or above. */
  page(from: string, limit: number): Promise<HeldPage> {
    const { id } = this.#fn;
    return heldPage(this.#database, id, this.#place.source, this.#partIndex, from, limit);
  }

  /** Whether the part is new or changed, and its table was not read since. */
  isUnsynced(): Promise<boolean> {
    return isUnsynced(this.#database, this.#fn.id, this.#partIndex);
  }

  /** Compares the rows with these ids, as the table has them now. */
  async look(reader: TableReader, ids: readonly string[]): Promise<Sight> {
    const { id: columns } = this.part;
    const values = ids.map((id) => (columns.length === 1 ? [id] : textsOf(id)));
    const found = await reader.find(this.table, columns, values).catch((error: unknown) => {
      if (isBadText(error)) return null;
      throw error;
    });
    if (found === null && ids.length > 1) {
      // one of them is no value of its column's type any more
      const middle = ids.length >> 1;
      const halves = [ids.slice(0, middle), ids.slice(middle)];
      const [one, other] = [
        await this.look(reader, halves[0]!),
        await this.look(reader, halves[1]!),
      ];
      return {
        suspects: [...one.suspects, ...other.suspects],
        whyUnreadable: one.whyUnreadable ?? other.whyUnreadable,
      };
    }
    const { rows, position, whyUnreadable } = found ?? (await reader.find(this.table, columns, []));
    const members = new Map<string, MemberRow>();
    for (const row of rows) {
      const member = this.#memberOf(row);
      if (member !== null) members.set(member.id, member);
    }
    const wanted = ids.map((id): Wanted => {
      const row = members.get(id);
      return { row: row ?? this.#gone(id, position), isThere: row !== undefined };
    });
    return { suspects: await this.#suspects(wanted), whyUnreadable };
  }

  /** Returns what is held of rows, in their order. */
  held(rows: readonly MemberRow[]): Promise<HeldRow[]> {
    const wanted = rows.map(({ partIndex, id, inSet, key }) => ({
      partIndex,
      id,
      key: inSet ? key : null,
    }));
    return heldRows(this.#database, this.#fn.id, this.#place.source, wanted);
  }

  async #suspects(wanted: readonly Wanted[]): Promise<Suspect[]> {
    const held = await this.held(wanted.map(({ row }) => row));
    return wanted.flatMap(({ row, isThere }, i) => {
      const { inSet, heldKey, isPurged, mayBeForgotten } = held[i]!;
      const kind = kindOf(isThere ? row : null, held[i]!);
      if (kind === null) {
        if (inSet || isPurged) this.#equal += 1;
        return [];
      }
      const key = row.inSet ? row.key : null;
      const { id } = row;
      return [{ part: this.part.name, id, kind, key, heldKey, correction: row, mayBeForgotten }];
    });
  }

  #memberOf(row: RowChange): MemberRow | null {
    const mapped = toMemberRows(row, this.#place, this.#fn, { parts: [this.part] });
    return mapped.rows[0] ?? null;
  }

  #gone(id: string, { lsn, at }: LogPosition): MemberRow {
    return removedRow(
      { function: this.#fn.id, partIndex: this.#partIndex, source: this.#place.source, id },
      versionOfRead(lsn, Number(at / 1000n), this.#place),
    );
  }
}

/** Returns the texts of an id of several columns. */
function textsOf(id: string): string[] {
  return JSON.parse(id) as string[];
}
