import type { ByteReader } from './byte-reader.ts';
import { double, float, integer, object } from './json-values.ts';
import { Undecodable } from './undecodable.ts';

/** Reads one value as the JSON value that JsonConverter would write. */
type Read = (from: ByteReader) => unknown;
type Json = Readonly<Record<string, unknown>>;

/**
 * Types that have no name. Logical types are not interpreted: JsonConverter, too, writes dates and times as their
 * numbers and decimals as their bytes.
 */
const PRIMITIVES: ReadonlyMap<string, Read> = new Map<string, Read>([
  ['null', () => null],
  ['boolean', readBoolean],
  ['int', (from) => integer(from.zigzag())],
  ['long', (from) => integer(from.zigzag())],
  ['float', (from) => float(from.take(4).readFloatLE())],
  ['double', (from) => double(from.take(8).readDoubleLE())],
  ['bytes', (from) => from.take(from.size(from.zigzag())).toString('base64')],
  ['string', readText],
]);

/**
 * Compiles an Avro schema (1.12) to a function that reads values of it. `references` are the schemas that define
 * types which it uses, those that others depend on first. Throws {@link Undecodable}.
 *
 * The data is read here and not by avsc, which believes any number of elements: 6 bytes that announce 10^7 of
 * them take 0.2 s and 70 MB, and 7 bytes that announce 10^9 end the process.
 */
export function compileAvro(schema: string, references: readonly string[] = []): Read {
  const compiler = new Compiler();
  for (const each of references) compiler.compile(parsed(each), '');
  return compiler.compile(parsed(schema), '');
}

class Compiler {
  readonly #named = new Map<string, Read>();

  compile(schema: unknown, namespace: string): Read {
    if (typeof schema === 'string') return PRIMITIVES.get(schema) ?? this.#find(schema, namespace);
    if (Array.isArray(schema)) {
      return unionOf(schema.map((each) => this.compile(each, namespace)));
    }
    if (typeof schema !== 'object' || schema === null) throw new Undecodable('a type is missing');
    const { type, items, values } = schema as Json;
    switch (type) {
      case 'record':
      case 'error':
        return this.#record(schema as Json, namespace);
      case 'enum':
        return this.#define(schema as Json, namespace, enumOf((schema as Json)['symbols']));
      case 'fixed':
        return this.#define(schema as Json, namespace, fixedOf((schema as Json)['size']));
      case 'array':
        return arrayOf(this.compile(items, namespace));
      case 'map':
        return mapOf(this.compile(values, namespace));
      default:
        return this.compile(type, namespace);
    }
  }

  #record(schema: Json, outer: string): Read {
    const fields: { name: string; read: Read }[] = [];
    // Defined first, because a record may contain itself.
    const read = this.#define(schema, outer, (from) =>
      object(fields.map((field) => [field.name, field.read(from)])),
    );
    const { name } = nameOf(schema, outer);
    const namespace = name.slice(0, Math.max(0, name.lastIndexOf('.')));
    if (!Array.isArray(schema['fields'])) throw new Undecodable(`record ${name} has no fields`);
    for (const field of schema['fields'] as Json[]) {
      fields.push({ name: String(field['name']), read: this.compile(field['type'], namespace) });
    }
    return read;
  }

  #define(schema: Json, namespace: string, read: Read): Read {
    this.#named.set(nameOf(schema, namespace).name, read);
    return read;
  }

  #find(name: string, namespace: string): Read {
    const read = this.#named.get(qualified(name, namespace)) ?? this.#named.get(name);
    if (read === undefined) {
      throw new Undecodable(`its type ${JSON.stringify(name)} is not defined`);
    }
    return read;
  }
}

function nameOf(schema: Json, outer: string): { readonly name: string } {
  const { name, namespace } = schema;
  if (typeof name !== 'string') throw new Undecodable('a type has no name');
  return { name: qualified(name, typeof namespace === 'string' ? namespace : outer) };
}

function qualified(name: string, namespace: string): string {
  return namespace === '' || name.includes('.') ? name : `${namespace}.${name}`;
}

function unionOf(branches: readonly Read[]): Read {
  return (from) => {
    const index = from.zigzag();
    const read = branches[Number(index)];
    if (read === undefined) throw new Undecodable(`a union has no branch ${index}`);
    return read(from);
  };
}

function enumOf(symbols: unknown): Read {
  if (!Array.isArray(symbols)) throw new Undecodable('an enum has no symbols');
  return (from) => {
    const index = from.zigzag();
    const symbol: unknown = symbols[Number(index)];
    if (symbol === undefined) throw new Undecodable(`an enum has no symbol ${index}`);
    return symbol;
  };
}

function fixedOf(size: unknown): Read {
  if (typeof size !== 'number') throw new Undecodable('a fixed type has no size');
  return (from) => from.take(size).toString('base64');
}

function arrayOf(read: Read): Read {
  return (from) => readBlocks(from, () => read(from));
}

function mapOf(read: Read): Read {
  return (from) => object(readBlocks(from, () => [readText(from), read(from)] as const));
}

/** Reads the blocks of an array or map: a count, negative if the size in bytes follows, and that many items. */
function readBlocks<T>(from: ByteReader, read: () => T): T[] {
  const items: T[] = [];
  for (;;) {
    const announced = from.zigzag();
    if (announced === 0n) return items;
    if (announced < 0n) from.zigzag();
    const count = Number(announced < 0n ? -announced : announced);
    from.reserve(count);
    for (let i = 0; i < count; i++) items.push(read());
  }
}

function readBoolean(from: ByteReader): boolean {
  const byte = from.byte();
  if (byte > 1) throw new Undecodable(`a boolean is ${byte}`);
  return byte === 1;
}

function readText(from: ByteReader): string {
  return from.text(from.size(from.zigzag()));
}

function parsed(schema: string): unknown {
  try {
    return JSON.parse(schema);
  } catch (error) {
    throw new Undecodable('it is not JSON', { cause: error });
  }
}
