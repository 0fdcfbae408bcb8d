import { accessSync, constants, readFileSync } from 'node:fs';
import { WrongUse } from './wrong-use.ts';

export interface Destination {
  /** URL of a worker. */
  readonly to: string;
  /** File with a bearer token, if the worker requires one. */
  readonly tokenFile?: string;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** Outcome of the event, if the request asked for it ({@link redelivery}). */
  readonly outcome: string | null;
}

/** Returns headers that make a worker report the outcome, and reject an event unless it serves the functions. */
export function redelivery(functions: readonly string[]): Record<string, string> {
  return { 'muster-functions': functions.join(',') };
}

/** Returns whether the event was ingested; for other successes nothing was stored. */
export function isIngested({ status, outcome }: Answer): boolean {
  return (status === 200 || status === 204) && outcome === 'ingested';
}

/** Throws {@link WrongUse} for a destination to which nothing can be posted. */
export function checkDestination({ to, tokenFile }: Destination): void {
  if (!/^https?:$/.test(URL.parse(to)?.protocol ?? '')) {
    throw new WrongUse(`--to must be a URL that begins with http:// or https://, not '${to}'`);
  }
  if (tokenFile !== undefined) requireReadable('--token-file', tokenFile);
}

export function requireReadable(name: string, file: string): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    throw new WrongUse(`${name} can't be read: ${(error as Error).message}`);
  }
}

/** Posts one event; throws if there is no answer. */
export async function post(
  { to: url, tokenFile }: Destination,
  headers: Record<string, string>,
  body: string | Buffer,
): Promise<Answer> {
  // read for every request: a token that is projected into a pod changes every hour
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
    const outcome = response.headers.get('muster-outcome');
    return { status: response.status, text: await response.text(), outcome };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    // if several addresses were tried, the error has a code but no message
    const why =
      cause instanceof Error ? cause.message || (cause as { code?: string }).code : String(cause);
    throw new Error(`${url} can't be reached: ${why}`, { cause: error });
  }
}

/** Parses an answer; one that is not JSON stays text. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
