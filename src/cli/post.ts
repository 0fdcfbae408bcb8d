import { readFileSync } from 'node:fs';

export interface Destination {
  /** Where Muster listens. */
  readonly to: string;
  /** File of the token to show, where not everybody may post. */
  readonly tokenFile?: string;
}

/** Posts one event; throws if there is no answer. */
export async function post(
  { to: url, tokenFile }: Destination,
  headers: Record<string, string>,
  body: string | Buffer,
): Promise<{ status: number; text: string }> {
  // read each time: one that is projected into a pod changes every hour
  const authorization =
    tokenFile === undefined
      ? {}
      : { authorization: `Bearer ${readFileSync(tokenFile, 'utf8').trim()}` };
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...headers, ...authorization },
      body,
    });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    // of several addresses that were all tried, the error says nothing but its code
    const why =
      cause instanceof Error ? cause.message || (cause as { code?: string }).code : String(cause);
    throw new Error(`${url} can't be reached: ${why}`, { cause: error });
  }
}
