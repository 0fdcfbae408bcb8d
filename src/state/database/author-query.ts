import pg from 'pg';
import { sqlState } from './database.ts';
import { settingsAfterReset } from './session.ts';

/** A query was sent after the end of its transaction, or was running at that time. */
export class TransactionOver extends Error {
  override readonly name = 'TransactionOver';
}

/** A statement of an author ended the transaction although {@link keepOpen} accepted it. */
export class TransactionBroken extends Error {
  override readonly name = 'TransactionBroken';

  constructor(text: string) {
    super(
      `'${text.trim()}' has ended the transaction: what was written before it may be committed, ` +
        'what comes after it is not',
    );
  }
}

/**
 * Throws for a statement that would end the transaction it is sent in. The extended protocol takes one
 * statement at a time, so its first words identify it; savepoints are allowed.
 */
export function keepOpen(text: string): void {
  const [first, second, third] = firstWords(text, 3);
  if (first === 'deallocate' && [second, third].includes('all')) {
    throw new Error(`'${text.trim()}' is not for the handler: name the statement to deallocate`);
  }
  if (!endsTransaction([first, second, third])) return;
  throw new Error(`'${text.trim()}' is not for the handler: the transaction ends with its run`);
}

const ENDS_TRANSACTION = new Set(['abort', 'begin', 'commit', 'end', 'start']);

function endsTransaction([first = '', second, third]: readonly (string | undefined)[]): boolean {
  if (first === 'prepare') return second === 'transaction';
  if (first !== 'rollback') return ENDS_TRANSACTION.has(first);
  return (second === 'work' || second === 'transaction' ? third : second) !== 'to';
}

const WORD = /[a-z_\u{80}-\u{10ffff}][\w$\u{80}-\u{10ffff}]*/iuy;

/** Returns the words with which a statement begins, in lower case, up to the first token that is not a word. */
function firstWords(text: string, count: number): string[] {
  const words: string[] = [];
  let at = skipBlanks(text, 0, true);
  while (words.length < count) {
    WORD.lastIndex = at;
    const word = WORD.exec(text)?.[0];
    if (word === undefined) break;
    words.push(word.toLowerCase());
    at = skipBlanks(text, at + word.length, false);
  }
  return words;
}

/** Returns the position of the next token, after white space and comments, as the server skips them. */
function skipBlanks(text: string, from: number, skipSemicolons: boolean): number {
  const blanks = skipSemicolons ? ' \t\n\r\f\v;' : ' \t\n\r\f\v';
  for (let at = from; ;) {
    if (at < text.length && blanks.includes(text[at]!)) at++;
    else if (text.startsWith('--', at)) at += /^[^\n\r]*/.exec(text.slice(at))![0].length;
    else if (text.startsWith('/*', at)) at = endOfComment(text, at);
    else return at;
  }
}

/** Returns the position after a comment; comments nest. */
function endOfComment(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length;) {
    if (text.startsWith('/*', at)) depth++;
    else if (text.startsWith('*/', at)) depth--;
    else {
      at++;
      continue;
    }
    at += 2;
    if (depth === 0) return at;
  }
  return text.length;
}

/**
 * Sends a statement of an author in the open transaction. It uses the extended protocol even without values,
 * because that refuses several statements in one message. Rejects with {@link TransactionBroken} if the
 * statement has ended the transaction.
 */
export function queryForAuthor(
  client: pg.ClientBase,
  text: string,
  values: readonly unknown[],
): Promise<pg.QueryResult> {
  return new Promise((resolve, reject) => {
    // passed as text, because pg copies an object property by property, which takes 5 µs
    const query = new pg.Query(text, [...values], ((
      error: Error | undefined,
      result: pg.QueryResult,
    ) => {
      // The status is read while ReadyForQuery of this query is handled: a client that pipelines has that of
      // another query a moment later.
      if (error) reject(clarify(error));
      else if (client.getTransactionStatus() === 'T' && result.command !== 'COMMIT') {
        resolve(result);
      } else reject(new TransactionBroken(text));
    }) as never);
    (query as unknown as { queryMode: string }).queryMode = 'extended';
    client.query(query);
  });
}

/** Clarifies the server's error for several statements, which names a feature of the protocol, not the mistake. */
export function clarify(error: Error): Error {
  if (sqlState(error) === '42601' && error.message.includes('multiple commands')) {
    error.message = `one statement at a time: ${error.message}`;
  }
  return error;
}

/** Timeout of {@link RESET_SESSION}, which waits for no lock. */
const RESET_MS = 5_000;

/**
 * Resets the state of a session that outlives a transaction: settings, role, cursors, LISTEN, temporary tables, last
 * values of sequences, advisory locks. Unlike DISCARD ALL it keeps our own prepared statements: it takes 20 µs
 * of the server's time, and 40 µs with the settings and the query that follow it.
 */
const RESET_SESSION =
  'reset session authorization; reset all; close all; unlisten *; discard temp; discard sequences; ' +
  'select pg_catalog.pg_advisory_unlock_all();';
const PREPARED = 'select name, from_sql from pg_catalog.pg_prepared_statement()';

/**
 * Resets a connection after an author's transaction and releases it to its pool; closes it if its prepared
 * statements are not our own. Never rejects.
 */
export async function resetAndRelease(client: pg.PoolClient): Promise<void> {
  let isClean = false;
  try {
    const text = `${RESET_SESSION} ${settingsAfterReset(client)} ${PREPARED}`;
    const results = (await client.query({
      text,
      query_timeout: RESET_MS,
    } as pg.QueryConfig)) as unknown as pg.QueryResult<Prepared>[];
    isClean = hasOnlyOwnStatements(client, results.at(-1)!.rows);
  } catch {
    // closed below
  }
  client.release(!isClean);
}

interface Prepared {
  readonly name: string;
  readonly from_sql: boolean;
}

function hasOnlyOwnStatements(client: pg.PoolClient, prepared: readonly Prepared[]): boolean {
  const { parsedStatements } = client.connection as unknown as {
    parsedStatements: Readonly<Record<string, string>>;
  };
  return (
    prepared.length === Object.keys(parsedStatements).filter((name) => name !== '').length &&
    prepared.every((each) => !each.from_sql && parsedStatements[each.name] !== undefined)
  );
}
