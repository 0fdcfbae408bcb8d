/** Decodes protocol buffers of OTLP 1.x, which exporters send by default, to the shape of OTLP/JSON. */
type Kind =
  | 'text'
  | 'id'
  | 'varint'
  | 'fixed64'
  | 'double'
  | 'fixed32'
  | 'counts'
  | 'bounds'
  | Schema;
interface Field {
  readonly name: string;
  readonly kind: Kind;
  readonly repeated?: boolean;
}
type Schema = () => Readonly<Record<number, Field>>;

const one = (name: string, kind: Kind): Field => ({ name, kind });
const many = (name: string, kind: Kind): Field => ({ name, kind, repeated: true });

const anyValue: Schema = () => ({
  1: one('stringValue', 'text'),
  2: one('boolValue', 'varint'),
  3: one('intValue', 'varint'),
  4: one('doubleValue', 'double'),
});
const keyValue: Schema = () => ({ 1: one('key', 'text'), 2: one('value', anyValue) });
const resource: Schema = () => ({ 1: many('attributes', keyValue) });
const scope: Schema = () => ({ 1: one('name', 'text') });
const event: Schema = () => ({ 2: one('name', 'text'), 3: many('attributes', keyValue) });
const link: Schema = () => ({ 1: one('traceId', 'id'), 2: one('spanId', 'id') });
const status: Schema = () => ({ 2: one('message', 'text'), 3: one('code', 'varint') });
const span: Schema = () => ({
  1: one('traceId', 'id'),
  2: one('spanId', 'id'),
  4: one('parentSpanId', 'id'),
  5: one('name', 'text'),
  6: one('kind', 'varint'),
  7: one('startTimeUnixNano', 'fixed64'),
  8: one('endTimeUnixNano', 'fixed64'),
  9: many('attributes', keyValue),
  11: many('events', event),
  13: many('links', link),
  15: one('status', status),
});
const scopeSpans: Schema = () => ({ 1: one('scope', scope), 2: many('spans', span) });
const resourceSpans: Schema = () => ({
  1: one('resource', resource),
  2: many('scopeSpans', scopeSpans),
});
const numberPoint: Schema = () => ({
  4: one('asDouble', 'double'),
  7: many('attributes', keyValue),
});
const numbers: Schema = () => ({
  1: many('dataPoints', numberPoint),
  2: one('aggregationTemporality', 'varint'),
  3: one('isMonotonic', 'varint'),
});
const histogramPoint: Schema = () => ({
  4: one('count', 'fixed64'),
  5: one('sum', 'double'),
  6: one('bucketCounts', 'counts'),
  7: one('explicitBounds', 'bounds'),
  9: many('attributes', keyValue),
});
const histogram: Schema = () => ({
  1: many('dataPoints', histogramPoint),
  2: one('aggregationTemporality', 'varint'),
});
const metric: Schema = () => ({
  1: one('name', 'text'),
  3: one('unit', 'text'),
  5: one('gauge', numbers),
  7: one('sum', numbers),
  9: one('histogram', histogram),
});
const scopeMetrics: Schema = () => ({ 1: one('scope', scope), 2: many('metrics', metric) });
const resourceMetrics: Schema = () => ({
  1: one('resource', resource),
  2: many('scopeMetrics', scopeMetrics),
});

/** Schemas of the requests to `/v1/traces` and `/v1/metrics`. */
export const REQUESTS = {
  traces: () => ({ 1: many('resourceSpans', resourceSpans) }),
  metrics: () => ({ 1: many('resourceMetrics', resourceMetrics) }),
} satisfies Record<string, Schema>;

/** Decodes a message, without the fields that the schema does not name. */
export function decode(bytes: Buffer, schema: Schema): Record<string, unknown> {
  const fields = schema();
  const message: Record<string, unknown> = {};
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = fields[tag >> 3];
    const wireType = tag & 7;
    let raw: Buffer | number;
    if (wireType === 0) raw = varint();
    else {
      const length = wireType === 1 ? 8 : wireType === 5 ? 4 : varint();
      raw = bytes.subarray(at, (at += length));
    }
    if (field === undefined) continue;
    const value = typeof raw === 'number' ? raw : read(raw, field.kind);
    if (field.repeated) ((message[field.name] ??= []) as unknown[]).push(value);
    else message[field.name] = value;
  }
  return message;
}

function read(raw: Buffer, kind: Kind): unknown {
  const eights = Array.from({ length: raw.length / 8 }, (_, i) => i * 8);
  switch (kind) {
    case 'text':
      return raw.toString();
    case 'id':
      return raw.toString('hex');
    case 'fixed64':
      return String(raw.readBigUInt64LE());
    case 'double':
      return raw.readDoubleLE();
    case 'counts':
      return eights.map((i) => Number(raw.readBigUInt64LE(i)));
    case 'bounds':
      return eights.map((i) => raw.readDoubleLE(i));
    case 'varint':
    case 'fixed32':
      throw new Error(`a ${kind} with a length`);
    default:
      return decode(raw, kind);
  }
}
