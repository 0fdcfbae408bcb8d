import type { NotJson } from '../lib/exact-json.ts';
import { isFramed, readFrame } from '../schemas/frame.ts';

/** Second bytes of zlib, one for each level of compression. */
const ZLIB_LEVELS: readonly unknown[] = [0x01, 0x5e, 0x9c, 0xda];
/** Prefix of the attributes in which a KafkaSource passes on the headers of Apicurio's serializers. */
const APICURIO_HEADER = 'kafkaheaderapicurio';

/** Describes bytes that are not JSON, with a hint what to change if they are recognized. */
export function whyNotJson(what: string, error: NotJson, bytes: Uint8Array): string {
  const hint = looksLike(bytes);
  return `${what} is ${error.message}${hint === null ? '' : `; ${hint}`}`;
}

/** Returns what bytes that are not JSON look like and what to change; null if they are not recognized. */
export function looksLike(bytes: Uint8Array): string | null {
  const [first, second, third, fourth] = bytes;
  if (first === 0x1f && second === 0x8b) return compressed('gzip');
  if (first === 0x28 && second === 0xb5 && third === 0x2f && fourth === 0xfd) {
    return compressed('zstd');
  }
  if (first === 0x78 && ZLIB_LEVELS.includes(second)) return compressed('deflate');
  if (isFramed(bytes)) return ofRegistry(bytes);
  if (isUtf16(bytes)) return 'it looks like UTF-16: send it in UTF-8';
  if (Buffer.from(bytes.subarray(0, 7)).toString('latin1') === 'Struct{') {
    return 'it looks like what StringConverter writes: set value.converter=org.apache.kafka.connect.json.JsonConverter';
  }
  return null;
}

/** Names the schema of an event whose serializer writes the schema's id into a header, and what to change. */
export function schemaInHeader(attributes: Readonly<Record<string, string>>): string {
  return Object.keys(attributes).some((name) => name.startsWith(APICURIO_HEADER))
    ? "; its schema's id is in a header: set value.converter.apicurio.registry.headers.enabled=false"
    : '';
}

function ofRegistry(bytes: Uint8Array): string {
  const schema = readFrame(bytes)?.id ?? 'with an id of 8 bytes';
  return `it looks like Avro, Protobuf or JSON Schema of a schema registry (schema ${schema}): set SCHEMA_REGISTRY_URL to the registry, or value.converter=org.apache.kafka.connect.json.JsonConverter in the connector`;
}

/** Recognizes UTF-16 by its byte order mark, or by a zero byte in the first character, which is ASCII in JSON. */
function isUtf16([first, second, third]: Uint8Array): boolean {
  if (first === 0xff || first === 0xfe) return first + (second ?? 0) === 0x1fd;
  return first === 0 ? second !== 0 && third === 0 : second === 0;
}

function compressed(encoding: string): string {
  return `it is compressed (${encoding}): send the JSON itself, or over HTTP with Content-Encoding: ${encoding}`;
}
