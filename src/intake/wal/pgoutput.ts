/**
 * Parses the messages of PostgreSQL's output plugin pgoutput, protocol version 1 (documentation of PostgreSQL,
 * "Logical Replication Message Formats"). Only the columns that are wanted are decoded.
 */

/** Texts of a row by column: null, or undefined for an unchanged TOASTed value, which was not sent. */
export type Values = (string | null | undefined)[];

export interface RelationColumn {
  readonly name: string;
  /** Whether it belongs to the replica identity. */
  readonly isKey: boolean;
  /** Oid of its type. */
  readonly type: number;
  readonly typmod: number;
}

/** A table as it was when the following changes were made. */
export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly RelationColumn[];
}

export interface RowMessage {
  readonly kind: 'row';
  readonly op: 'c' | 'u' | 'd';
  /** Oid of the table. */
  readonly relation: number;
  readonly bytes: Buffer;
}

export interface BeginMessage {
  readonly kind: 'begin';
  /** Position of the transaction's commit. */
  readonly commit: bigint;
  /** Commit time in microseconds since 1970. */
  readonly at: bigint;
  readonly xid: number;
}

export type WalMessage =
  | BeginMessage
  /** `end` is the position after the commit. */
  | { readonly kind: 'commit'; readonly end: bigint }
  | { readonly kind: 'relation'; readonly relation: Relation }
  | RowMessage
  | { readonly kind: 'truncate'; readonly relations: readonly number[] }
  | { readonly kind: 'other' };

/** The images of a row in a message. */
export interface Images {
  /** The row before, or its key; null if neither was sent. */
  readonly before: Values | null;
  /** Whether `before` is the whole row (REPLICA IDENTITY FULL). */
  readonly isWhole: boolean;
  /** Null for a delete. */
  readonly after: Values | null;
}

/** Microseconds from 1970 to 2000, from which PostgreSQL counts. */
const EPOCH = 946_684_800_000_000n;
/** Length of the tag and the oid of the table, which precede the images of a row. */
const HEAD = 5;

export function parseMessage(bytes: Buffer): WalMessage {
  switch (bytes.readUInt8(0)) {
    case 0x42: // B
      return {
        kind: 'begin',
        commit: bytes.readBigUInt64BE(1),
        at: bytes.readBigInt64BE(9) + EPOCH,
        xid: bytes.readUInt32BE(17),
      };
    case 0x43: // C
      return { kind: 'commit', end: bytes.readBigUInt64BE(10) };
    case 0x52: // R
      return { kind: 'relation', relation: parseRelation(bytes) };
    case 0x49: // I
      return { kind: 'row', op: 'c', relation: bytes.readUInt32BE(1), bytes };
    case 0x55: // U
      return { kind: 'row', op: 'u', relation: bytes.readUInt32BE(1), bytes };
    case 0x44: // D
      return { kind: 'row', op: 'd', relation: bytes.readUInt32BE(1), bytes };
    case 0x54: // T
      return {
        kind: 'truncate',
        relations: Array.from({ length: bytes.readUInt32BE(1) }, (_, i) =>
          bytes.readUInt32BE(6 + 4 * i),
        ),
      };
    default: // types, origins and messages of applications
      return { kind: 'other' };
  }
}

function parseRelation(bytes: Buffer): Relation {
  const reader = new Reader(bytes, 1);
  const oid = reader.uint32();
  const schema = reader.name() || 'pg_catalog';
  const name = reader.name();
  reader.at += 1; // the replica identity, which each column tells, too
  const columns = Array.from({ length: reader.uint16() }, () => {
    const isKey = (bytes[reader.at++]! & 1) === 1;
    return { name: reader.name(), isKey, type: reader.uint32(), typmod: reader.int32() };
  });
  return { oid, schema, name, columns };
}

/** Reads the images of a row. Columns that are not `wanted` are left out; all are read if that is null. */
export function readImages({ bytes, op }: RowMessage, wanted: readonly boolean[] | null): Images {
  const reader = new Reader(bytes, HEAD);
  let before: Values | null = null;
  let isWhole = false;
  let tag = bytes[reader.at++];
  if (tag === 0x4b || tag === 0x4f) {
    isWhole = tag === 0x4f; // O, otherwise K
    before = reader.values(wanted);
    if (op === 'd') return { before, isWhole, after: null };
    tag = bytes[reader.at++];
  }
  if (tag !== 0x4e) throw new Error(`a row of kind ${tag} is unknown`);
  const after = reader.values(wanted);
  // The row before has the unchanged TOASTed values: all of them, or those of its key, beside nulls.
  if (before !== null) {
    for (let i = 0; i < after.length; i++) {
      if (after[i] === undefined && (isWhole || before[i] !== null)) after[i] = before[i];
    }
  }
  return { before, isWhole, after };
}

class Reader {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  uint16(): number {
    const value = this.#bytes.readUInt16BE(this.at);
    this.at += 2;
    return value;
  }

  uint32(): number {
    const value = this.#bytes.readUInt32BE(this.at);
    this.at += 4;
    return value;
  }

  int32(): number {
    const value = this.#bytes.readInt32BE(this.at);
    this.at += 4;
    return value;
  }

  /** Reads a text that ends with a zero byte. */
  name(): string {
    const end = this.#bytes.indexOf(0, this.at);
    const name = this.#bytes.toString('utf8', this.at, end);
    this.at = end + 1;
    return name;
  }

  values(wanted: readonly boolean[] | null): Values {
    const values: Values = Array.from({ length: this.uint16() });
    for (let i = 0; i < values.length; i++) {
      const kind = this.#bytes[this.at++];
      if (kind === 0x6e) values[i] = null; // n
      if (kind === 0x6e || kind === 0x75) continue; // u: undefined
      if (kind !== 0x74) throw new Error(`a value of kind ${kind} is unknown`); // t
      const length = this.uint32();
      const end = this.at + length;
      if (wanted === null || wanted[i] === true) {
        values[i] = this.#bytes.toString('utf8', this.at, end);
      }
      this.at = end;
    }
    return values;
  }
}
