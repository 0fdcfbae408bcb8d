import { errorText } from '../lib/error-text.ts';
import { parse, parseExact, textOf, NotJson } from '../lib/exact-json.ts';
import { compileAvro } from './avro.ts';
import { ByteReader } from './byte-reader.ts';
import { readFrame } from './frame.ts';
import {
  RegistryUnavailable,
  type Registry,
  type StoredReference,
  type StoredSchema,
} from './registry.ts';
import { Undecodable } from './undecodable.ts';

/** Decodes data of one schema to a JSON value without loss. */
type Decode = (data: Uint8Array) => unknown;

/** A schema, or why it can't be used. */
type Entry = { readonly decode: Decode } | { readonly why: string };

/** With these settings, Apicurio's converter writes ids as everybody else does. */
const APICURIO =
  "Apicurio's converter needs value.converter.apicurio.registry.as-confluent=true, .use-id=contentId and .headers.enabled=false";
/** Schemas that are kept, the most recently used. A connector has two for each table and version of it. */
const MAX_SCHEMAS = 1_000;
/** Ids are 32-bit integers with a sign. */
const MAX_ID = 0x7f_ff_ff_ff;
/** Minimum time between a failed request and the next. */
const REST_MS = 1_000;
/** Time for which it is remembered that an id is unknown: the schema may be restored. */
const UNKNOWN_MS = 5_000;
/** Maximum number of schemas that one refers to, directly and indirectly. */
const MAX_REFERENCES = 200;

export interface SchemasOptions {
  /** Called when the registry stops answering, with the error. */
  readonly onTrouble?: (error: Error) => void;
  readonly maxSchemas?: number;
  readonly restMs?: number;
  readonly unknownMs?: number;
}

/**
 * Schemas decodes messages by the schemas of a registry. A schema never changes under its id, so each is fetched
 * once; requests for the same one are shared.
 */
export class Schemas {
  readonly #registry: Registry;
  readonly #options: SchemasOptions;
  readonly #entries = new Map<number, Entry>();
  readonly #fetching = new Map<number, Promise<Entry>>();
  #failure: Error | null = null;
  #failedAt = -Infinity;

  constructor(registry: Registry, options: SchemasOptions = {}) {
    this.#registry = registry;
    this.#options = options;
  }

  /** Why the registry can't be used; null if its last answer could. */
  get trouble(): string | null {
    return this.#failure?.message ?? null;
  }

  /**
   * Returns what framed bytes hold. Throws {@link Undecodable}, which names the schema and what to change, or
   * `RegistryUnavailable`.
   */
  async decode(bytes: Uint8Array): Promise<unknown> {
    const frame = readFrame(bytes);
    if (frame === null) {
      throw new Undecodable(
        `that has 8 bytes, of which it is unknown what they count: ${APICURIO}`,
      );
    }
    const { id, data } = frame;
    // a registry can't even read such an id, and its answer would look like a failure that may pass
    if (id > MAX_ID) throw new Undecodable(`no registry has a schema ${id}: ids end at ${MAX_ID}`);
    const entry = this.#used(id) ?? (await this.#fetch(id));
    if ('why' in entry) throw new Undecodable(entry.why);
    try {
      return entry.decode(data);
    } catch (error) {
      const why = error instanceof RangeError ? 'nested too deep' : errorOf(error);
      throw new Undecodable(`it can't be read by its schema ${id}: ${why}`, { cause: error });
    }
  }

  /** Returns a known schema, and makes it the last to be dropped. */
  #used(id: number): Entry | undefined {
    const entry = this.#entries.get(id);
    if (entry !== undefined) {
      this.#entries.delete(id);
      this.#entries.set(id, entry);
    }
    return entry;
  }

  #fetch(id: number): Promise<Entry> {
    let fetching = this.#fetching.get(id);
    if (fetching === undefined) {
      if (
        this.#failure !== null &&
        performance.now() - this.#failedAt < (this.#options.restMs ?? REST_MS)
      ) {
        return Promise.reject(this.#failure);
      }
      fetching = this.#load(id).finally(() => this.#fetching.delete(id));
      this.#fetching.set(id, fetching);
    }
    return fetching;
  }

  async #load(id: number): Promise<Entry> {
    let entry: Entry;
    try {
      entry = await this.#entryOf(id);
    } catch (error) {
      if (this.#failure === null) this.#options.onTrouble?.(error as Error);
      this.#failure = error as Error;
      this.#failedAt = performance.now();
      throw error;
    }
    this.#failure = null;
    this.#entries.set(id, entry);
    // It, or one that it refers to, may be registered or restored.
    if ('why' in entry) {
      setTimeout(() => this.#entries.delete(id), this.#options.unknownMs ?? UNKNOWN_MS).unref();
    }
    if (this.#entries.size > (this.#options.maxSchemas ?? MAX_SCHEMAS)) {
      this.#entries.delete(this.#entries.keys().next().value!);
    }
    return entry;
  }

  async #entryOf(id: number): Promise<Entry> {
    const stored = await this.#registry.schema(id);
    if (stored === null) {
      return {
        why: `its schema ${id} is not in the registry: check that SCHEMA_REGISTRY_URL is the registry of the connector. ${APICURIO}`,
      };
    }
    try {
      return { decode: await this.#compile(stored) };
    } catch (error) {
      if (error instanceof RegistryUnavailable) throw error;
      return { why: `its schema ${id} can't be used: ${errorText(error)}` };
    }
  }

  async #compile(stored: StoredSchema): Promise<Decode> {
    const { schema, schemaType = 'AVRO' } = stored;
    if (schemaType === 'JSON') return decodeJson;
    if (schemaType !== 'AVRO' && schemaType !== 'PROTOBUF') {
      throw new Undecodable(`it is of the type ${schemaType}, not AVRO, PROTOBUF or JSON`);
    }
    const references = await this.#references(stored);
    if (schemaType === 'AVRO') {
      return decodeBy(
        compileAvro(
          schema,
          references.map((each) => each.schema),
        ),
      );
    }
    const { compileProtobuf } = await import('./protobuf.ts');
    return decodeBy(compileProtobuf(schema, references));
  }

  /** Returns the schemas that one refers to, each after those that it refers to itself. */
  async #references(of: StoredSchema): Promise<{ name: string; schema: string }[]> {
    const found: { name: string; schema: string }[] = [];
    const seen = new Set<string>();
    const add = async (reference: StoredReference): Promise<void> => {
      const key = JSON.stringify([reference.name, reference.subject, reference.version]);
      if (seen.has(key)) return;
      seen.add(key);
      if (seen.size > MAX_REFERENCES) {
        throw new Undecodable(`it refers to more than ${MAX_REFERENCES} schemas`);
      }
      const stored = await this.#registry.referenced(reference);
      if (stored === null) {
        const { subject, version } = reference;
        throw new Undecodable(`it refers to ${subject}, version ${version}, which is missing`);
      }
      for (const each of stored.references ?? []) await add(each);
      found.push({ name: reference.name, schema: stored.schema });
    };
    for (const each of of.references ?? []) await add(each);
    return found;
  }
}

function decodeBy(read: (from: ByteReader) => unknown): Decode {
  return (data) => {
    const from = new ByteReader(data);
    const value = read(from);
    from.requireEnd();
    return value;
  };
}

/** The data of a JSON Schema is JSON itself. `parse` checks that it can be parsed without blocking the process. */
function decodeJson(data: Uint8Array): unknown {
  const text = textOf(data);
  parse(text);
  return parseExact(text);
}

function errorOf(error: unknown): string {
  if (error instanceof Undecodable || error instanceof NotJson) return error.message;
  throw error;
}
