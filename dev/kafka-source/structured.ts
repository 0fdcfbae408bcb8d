/** A CloudEvent in structured mode, as the Java SDK reads it: `data` is reserialised as JSON. */

export function isStructured(contentType: string): boolean {
  return contentType.split(';')[0]!.trim().toLowerCase() === 'application/cloudevents+json';
}

/** Parses a CloudEvent; throws a SyntaxError unless the text is a JSON object. */
export function parseStructured(text: string): {
  attributes: Map<string, string>;
  data: Buffer | null;
} {
  const parsed: unknown = JSON.parse(text, exactNumbers);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new SyntaxError('a CloudEvent must be a JSON object');
  }
  const { data, data_base64: base64, ...rest } = parsed as Record<string, unknown>;
  const attributes = new Map(Object.entries(rest).map(([name, value]) => [name, asText(value)]));
  return { attributes, data: readData(data, base64, attributes.get('datacontenttype')) };
}

function readData(data: unknown, base64: unknown, contentType: string | undefined): Buffer | null {
  if (typeof base64 === 'string') return readBase64(base64);
  if (data === undefined) return null;
  const isJson = contentType === undefined || /[/+]json\b/i.test(contentType);
  if (isJson) return Buffer.from(JSON.stringify(data));
  if (typeof data !== 'string') throw new SyntaxError('data that is not JSON must be text');
  return Buffer.from(data);
}

/** Throws for invalid base64, as Jackson does; the record is then not treated as a CloudEvent. */
function readBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new SyntaxError('data_base64 is not valid base64');
  return bytes;
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Keeps numbers as they were written, because JSON.parse rounds an LSN above 2^53. */
function exactNumbers(_name: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' && context?.source !== undefined
    ? JSON.rawJSON(context.source)
    : value;
}
