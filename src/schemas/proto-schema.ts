import protobuf, { type Field, type Namespace, type ReflectionObject, type Type } from 'protobufjs';
import { Undecodable } from './undecodable.ts';

/** A schema that another one imports, by the name under which it does. */
export interface Reference {
  readonly name: string;
  readonly schema: string;
}

/** Schemas that a registry does not store, because every serializer has them. `meta.proto` holds options only. */
const BUILT_IN: ReadonlyMap<string, string> = new Map([
  ['confluent/meta.proto', 'syntax = "proto3"; package confluent;'],
  [
    'confluent/type/decimal.proto',
    'syntax = "proto3"; package confluent.type; message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }',
  ],
  [
    'google/type/date.proto',
    'syntax = "proto3"; package google.type; message Date { int32 year = 1; int32 month = 2; int32 day = 3; }',
  ],
  [
    'google/type/timeofday.proto',
    'syntax = "proto3"; package google.type; message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }',
  ],
]);

/** The message types of a .proto schema, in the order in which an index counts them. */
export interface ProtoSchema {
  /** Returns the type that a message is of: the index of its type, after those of the types around it. */
  typeAt(indexes: readonly number[]): Type;
}

/** Parses a .proto schema. Throws {@link Undecodable}. */
export function parseProto(schema: string, references: readonly Reference[]): ProtoSchema {
  const root = new protobuf.Root();
  const known = new Map(references.map((each) => [each.name, each.schema]));
  try {
    const parsed = protobuf.parse(schema, root, { keepCase: true });
    // Before the imports, which may add types to the same package.
    const own = typesOf(parsed.package === undefined ? root : root.lookup(parsed.package));
    addImports(root, parsed.imports ?? [], known, new Set());
    root.resolveAll();
    return { typeAt: (indexes) => typeAt(own, indexes) };
  } catch (error) {
    if (error instanceof Undecodable) throw error;
    throw new Undecodable(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function addImports(
  root: protobuf.Root,
  imports: readonly string[],
  known: ReadonlyMap<string, string>,
  added: Set<string>,
): void {
  for (const name of imports) {
    if (added.has(name)) continue;
    added.add(name);
    const common = protobuf.common.get(name);
    const text = known.get(name) ?? BUILT_IN.get(name);
    if (text !== undefined) {
      const parsed = protobuf.parse(text, root, { keepCase: true });
      addImports(root, parsed.imports ?? [], known, added);
    } else if (common?.nested) root.addJSON(common.nested);
    else throw new Undecodable(`it imports ${name}, which the registry does not name`);
  }
}

function typeAt(own: readonly Type[], indexes: readonly number[]): Type {
  let types = own;
  let type: Type | undefined;
  for (const index of indexes) {
    type = types[index];
    if (type === undefined) throw new Undecodable(`it has no message ${indexes.join('.')}`);
    types = typesOf(type);
  }
  return type!;
}

function typesOf(namespace: ReflectionObject | null): Type[] {
  const nested = (namespace as Namespace | null)?.nestedArray ?? [];
  return nested.filter((each) => each instanceof protobuf.Type);
}

/** Whether a field that is absent in a message has no value, rather than the default of its type. */
export function isNullable(field: Field): boolean {
  return field.resolvedType instanceof protobuf.Type || field.hasPresence;
}

export function isMessage(type: ReflectionObject | null): type is Type {
  return type instanceof protobuf.Type;
}

export function symbolsOf(type: ReflectionObject | null): Readonly<Record<number, string>> | null {
  return type instanceof protobuf.Enum ? type.valuesById : null;
}

/** Name and types of a map's field, which protobufjs exports as a subclass of its own. */
export function keyTypeOf(field: Field): string | null {
  return field instanceof protobuf.MapField ? field.keyType : null;
}
