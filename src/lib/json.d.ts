/** ECMAScript's JSON.parse source text access, which Node 24 has and TypeScript's library does not yet declare. */
interface RawJSON {
  readonly rawJSON: string;
}

interface JSON {
  /** Returns a value that `JSON.stringify` writes as exactly this text. */
  rawJSON(text: string): RawJSON;
  isRawJSON(value: unknown): value is RawJSON;
  parse(
    text: string,
    reviver: (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
}
