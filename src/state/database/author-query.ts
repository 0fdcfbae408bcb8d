import pg from 'pg';
import { sqlState } from './database.ts';
import { restore } from './session.ts';

/** A query that comes after the end of its transaction, or was under way then. */
export class TransactionOver extends Error {
  override readonly name = 'TransactionOver';
}

/** An author's statement got past {@link keepOpen} and ended the transaction. */
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
 * statement at a time, so its first words say what it is; savepoints are fine.
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

/** The words a statement begins with, in lower case; ends at the first that is none. */
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

/** Where the next token begins, behind white space and comments as the server skips them. */
function skipBlanks(text: string, from: number, alsoSemicolons: boolean): number {
  const blanks = alsoSemicolons ? ' \t\n\r\f\v;' : ' \t\n\r\f\v';
  for (let at = from; ;) {
    if (at < text.length && blanks.includes(text[at]!)) at++;
    else if (text.startsWith('--', at)) at += /^[^\n\r]*/.exec(text.slice(at))![0].length;
    else if (text.startsWith('/*', at)) at = endOfComment(text, at);
    else return at;
  }
}

/** Comments nest. */
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
 * Sends a statement of an author's in the open transaction. By the extended protocol also without
 * values, which refuses a second statement behind it. Throws {@link TransactionBroken} where the
 * transaction is not open any more when it is through.
 */
export function askAuthor(
  client: pg.ClientBase,
  text: string,
  values: readonly unknown[],
): Promise<pg.QueryResult> {
  return new Promise((resolve, reject) => {
    const query = new pg.Query(
      { text, values: [...values], queryMode: 'extended' } as pg.QueryConfig,
      ((error: Error | undefined, result: pg.QueryResult) => {
        // Called while its ReadyForQuery is handled: a pipelining client has other answers a moment later.
        if (error) reject(errorText(error));
        else if (client.getTransactionStatus() === 'T' && result.command !== 'COMMIT') {
          resolve(result);
        } else reject(new TransactionBroken(text));
      }) as never,
    );
    client.query(query);
  });
}

/** The server's words for several statements name a feature of the protocol. */
export function errorText(error: Error): Error {
  if (sqlState(error) === '42601' && error.message.includes('multiple commands')) {
    error.message = `one statement at a time: ${error.message}`;
  }
  return error;
}

/** For the answer of {@link LEAVE_NOTHING}, which waits for nothing. */
const HAND_BACK_MS = 5_000;

/**
 * Takes away what a session keeps beyond a transaction: settings, role, cursors, LISTEN, temporary
 * tables, sequences' last values, advisory locks. As DISCARD ALL does, but our own prepared statements
 * stay: 20 µs of the server's time, and 40 µs with the settings and the question that follow it.
 */
const LEAVE_NOTHING =
  'reset session authorization; reset all; close all; unlisten *; discard temp; discard sequences; ' +
  'select pg_catalog.pg_advisory_unlock_all();';
const PREPARED = 'select name, from_sql from pg_catalog.pg_prepared_statement()';

/**
 * Gives a connection back to its pool after an author's transaction, as if the author had never had it; a
 * connection whose prepared statements are not our own is closed. Never rejects.
 */
export async function handBack(client: pg.PoolClient): Promise<void> {
  let isClean = false;
  try {
    const text = `${LEAVE_NOTHING} ${restore(client)} ${PREPARED}`;
    const results = (await client.query({
      text,
      query_timeout: HAND_BACK_MS,
    } as pg.QueryConfig)) as unknown as pg.QueryResult<Prepared>[];
    isClean = hasOurs(client, results.at(-1)!.rows);
  } catch {
    // closed below
  }
  client.release(!isClean);
}

interface Prepared {
  readonly name: string;
  readonly from_sql: boolean;
}

function hasOurs(client: pg.PoolClient, prepared: readonly Prepared[]): boolean {
  const { parsedStatements } = client.connection as unknown as {
    parsedStatements: Readonly<Record<string, string>>;
  };
  return (
    prepared.length === Object.keys(parsedStatements).filter((name) => name !== '').length &&
    prepared.every((each) => !each.from_sql && parsedStatements[each.name] !== undefined)
  );
}
