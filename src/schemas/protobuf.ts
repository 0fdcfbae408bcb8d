import type { Field, Type } from 'protobufjs';
import type { ByteReader } from './byte-reader.ts';
import { double, float, integer, object } from './json-values.ts';
import {
  isMessage,
  isNullable,
  keyTypeOf,
  parseProto,
  symbolsOf,
  type Reference,
} from './proto-schema.ts';
import { SPECIAL } from './proto-special.ts';
import { Undecodable } from './undecodable.ts';

type Read = (from: ByteReader) => unknown;

/** How the values of a type are read from a message, and which it has if it is absent there. */
interface Codec {
  readonly wire: number;
  readonly read: Read;
  readonly absent: unknown;
}

const VARINT = 0;
const FIXED_64 = 1;
const LENGTH = 2;
const FIXED_32 = 5;

const signed = (value: bigint) => BigInt.asIntN(64, value);
const number = (read: (from: ByteReader) => unknown, wire = VARINT): Codec => ({
  wire,
  read,
  absent: 0,
});

const SCALARS: ReadonlyMap<string, Codec> = new Map([
  ['int32', number((from) => integer(signed(from.varint())))],
  ['int64', number((from) => integer(signed(from.varint())))],
  ['uint32', number((from) => integer(from.varint()))],
  ['uint64', number((from) => integer(from.varint()))],
  ['sint32', number((from) => integer(from.zigzag()))],
  ['sint64', number((from) => integer(from.zigzag()))],
  ['fixed32', number((from) => from.take(4).readUInt32LE(), FIXED_32)],
  ['sfixed32', number((from) => from.take(4).readInt32LE(), FIXED_32)],
  ['fixed64', number((from) => integer(from.take(8).readBigUInt64LE()), FIXED_64)],
  ['sfixed64', number((from) => integer(from.take(8).readBigInt64LE()), FIXED_64)],
  ['float', number((from) => float(from.take(4).readFloatLE()), FIXED_32)],
  ['double', number((from) => double(from.take(8).readDoubleLE()), FIXED_64)],
  ['bool', { wire: VARINT, read: (from) => from.varint() !== 0n, absent: false }],
  ['string', { wire: LENGTH, read: (from) => from.text(sizeOf(from)), absent: '' }],
  [
    'bytes',
    { wire: LENGTH, read: (from) => from.take(sizeOf(from)).toString('base64'), absent: '' },
  ],
]);

/**
 * Compiles a .proto schema to a function that reads what follows the schema's id: the indexes of the message's
 * type, then the message. Throws {@link Undecodable}.
 *
 * protobufjs parses the schema. It does not read the data: without the package `long`, which a bundle does not
 * contain, it rounds integers beyond 2^53.
 */
export function compileProtobuf(schema: string, references: readonly Reference[]): Read {
  const proto = parseProto(schema, references);
  const codecs = new Codecs();
  return (from) => {
    const type = proto.typeAt(readIndexes(from));
    if (isEnvelope(type)) requireNulls(type);
    return codecs.of(type)(from);
  };
}

/** Reads the indexes; none stands for the first message. */
function readIndexes(from: ByteReader): number[] {
  const count = from.size(from.zigzag());
  if (count === 0) return [0];
  from.reserve(count);
  return Array.from({ length: count }, () => Number(from.zigzag()));
}

/** Whether a message is one of Debezium. Others mean what they say: 0 and an empty text are values. */
function isEnvelope({ fields }: Type): boolean {
  return ['op', 'source'].every((name) => name in fields) || '__op' in fields;
}

/**
 * Rejects types in which no scalar can be null. ProtobufConverter writes them by default, with a null as 0 or an
 * empty text, which would be a different key. Every message of Debezium has a field that may be null (`ts_ms`,
 * `source.sequence`), so its absence proves the setting.
 */
function requireNulls(type: Type, seen = new Set<Type>(), isTop = true): boolean {
  seen.add(type);
  const found = type.fieldsArray.some((field) => {
    const { resolvedType } = field;
    if (!isMessage(resolvedType)) return isNullable(field);
    if (/^\.google\.protobuf\.\w+Value$/.test(resolvedType.fullName)) return true;
    return !seen.has(resolvedType) && requireNulls(resolvedType, seen, false);
  });
  if (found || !isTop) return found;
  throw new Undecodable(
    'its message has no optional field, so a null looks like 0 or an empty text: set value.converter.optional.for.nullables=true',
  );
}

class Codecs {
  readonly #messages = new Map<Type, Read>();

  /** Returns how a message that extends to the end of its bytes is read. */
  of(type: Type): Read {
    const known = this.#messages.get(type);
    if (known !== undefined) return known;
    const fields = new Map<number, readonly [Field, Codec]>();
    const special = SPECIAL.get(type.fullName);
    const read: Read = (from) => {
      const message = readMessage(from, type, fields);
      return special === undefined ? message : special(message);
    };
    this.#messages.set(type, read);
    for (const field of type.fieldsArray) fields.set(field.id, [field, this.#codecOf(field)]);
    return read;
  }

  #codecOf(field: Field): Codec {
    const value = this.#valueCodec(field);
    const keyType = keyTypeOf(field);
    if (keyType === null) return value;
    const key = SCALARS.get(keyType)!;
    return { wire: LENGTH, read: (from) => readEntry(nested(from), key, value), absent: null };
  }

  #valueCodec({ resolvedType, type }: Field): Codec {
    const symbols = symbolsOf(resolvedType);
    if (symbols !== null) {
      const read: Read = (from) => symbolOf(symbols, Number(signed(from.varint())));
      return { wire: VARINT, read, absent: symbolOf(symbols, 0) };
    }
    if (isMessage(resolvedType)) {
      return { wire: LENGTH, read: (from) => this.of(resolvedType)(nested(from)), absent: null };
    }
    const scalar = SCALARS.get(type);
    if (scalar === undefined) throw new Undecodable(`its type ${type} is not supported`);
    return scalar;
  }
}

function readMessage(
  from: ByteReader,
  type: Type,
  fields: ReadonlyMap<number, readonly [Field, Codec]>,
): Record<string, unknown> {
  const values = new Map<string, unknown>();
  from.reserveFields(type.fieldsArray.length);
  while (from.remaining > 0) {
    const tag = from.varint();
    const wire = Number(tag & 7n);
    const [field, codec] = fields.get(Number(tag >> 3n)) ?? [];
    if (field === undefined || codec === undefined) skip(from, wire);
    else if (field.map || field.repeated) {
      const all = (values.get(field.name) ?? []) as unknown[];
      readElements(from, wire, codec, all);
      values.set(field.name, all);
    } else {
      requireWire(field.name, wire, codec);
      values.set(field.name, codec.read(from));
    }
  }
  return object(
    type.fieldsArray.map((field) => {
      const value = values.get(field.name);
      if (field.map) return [field.name, object((value ?? []) as [string, unknown][])];
      if (field.repeated) return [field.name, value ?? []];
      const absent = isNullable(field) ? null : fields.get(field.id)![1].absent;
      return [field.name, value === undefined ? absent : value];
    }),
  );
}

/** Reads one element, or several that are packed. */
function readElements(from: ByteReader, wire: number, codec: Codec, into: unknown[]): void {
  if (wire === LENGTH && codec.wire !== LENGTH) {
    const packed = nested(from);
    while (packed.remaining > 0) {
      packed.reserve(1);
      into.push(codec.read(packed));
    }
    return;
  }
  requireWire('of an array', wire, codec);
  from.reserve(1);
  into.push(codec.read(from));
}

function readEntry(from: ByteReader, key: Codec, value: Codec): readonly [string, unknown] {
  let [name, held] = [key.absent, value.absent];
  while (from.remaining > 0) {
    const tag = from.varint();
    if (tag >> 3n === 1n) name = key.read(from);
    else if (tag >> 3n === 2n) held = value.read(from);
    else skip(from, Number(tag & 7n));
  }
  return [String(name), held];
}

function requireWire(name: string, wire: number, codec: Codec): void {
  if (wire !== codec.wire) throw new Undecodable(`the field ${name} is of another type`);
}

function skip(from: ByteReader, wire: number): void {
  if (wire === VARINT) from.varint();
  else if (wire === FIXED_64) from.take(8);
  else if (wire === LENGTH) from.take(sizeOf(from));
  else if (wire === FIXED_32) from.take(4);
  else throw new Undecodable(`a field has the unknown wire type ${wire}`);
}

function nested(from: ByteReader): ByteReader {
  return from.part(sizeOf(from));
}

function sizeOf(from: ByteReader): number {
  return from.size(from.varint());
}

function symbolOf(symbols: Readonly<Record<number, string>>, value: number): string {
  const symbol = symbols[value];
  if (symbol === undefined) throw new Undecodable(`an enum has no value ${value}`);
  return symbol;
}
