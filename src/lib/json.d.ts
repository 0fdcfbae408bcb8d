/** ECMAScript's JSON.parse source text access: in Node 24, not yet in TypeScript's library. */
interface RawJSON {
  readonly rawJSON: string;
}

interface JSON {
  /** A value that `JSON.stringify` writes as exactly this text. */
  rawJSON(text: string): RawJSON;
  isRawJSON(value: unknown): value is RawJSON;
  parse(
    text: string,
    reviver: (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
}
