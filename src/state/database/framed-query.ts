import pg from 'pg';
import { clarify, TransactionBroken } from './author-query.ts';
import { LEAVE_OWN_PATH } from './session.ts';

/** Methods that @types/pg lacks or declares differently. */
interface Protocol {
  readonly submit: (connection: pg.Connection) => Error | null;
  readonly handleCommandComplete: (message: { text: string }, connection: pg.Connection) => void;
  readonly handleError: (error: Error, connection: pg.Connection) => void;
}
const { submit, handleCommandComplete, handleError } = pg.Query.prototype as unknown as Protocol;

/**
 * Begins a transaction with its first query. `begun` is fulfilled even if BEGIN succeeds and the query
 * fails. Both settle together, when the query has ended.
 */
export function beginWith(client: pg.ClientBase, query: pg.QueryConfig) {
  const begun = Promise.withResolvers<void>();
  const answer = sendQuery(client, query, begun);
  answer.catch(() => {}); // it may reject before it is awaited
  return { begun: begun.promise, answer };
}

/** Sends the last query of a transaction and COMMIT. After an error the transaction is still open. */
export function commitWith(client: pg.ClientBase, query: pg.QueryConfig): Promise<pg.QueryResult> {
  return sendQuery(client, query, null);
}

function sendQuery(client: pg.ClientBase, query: pg.QueryConfig, begun: Begun | null) {
  return new Promise<pg.QueryResult>((resolve, reject) => {
    client.query(
      new FramedQuery(query, begun, (error, result) => {
        if (error) reject(clarify(error));
        // called while its ReadyForQuery is handled, see queryForAuthor
        else if (begun === null || client.getTransactionStatus() === 'T') resolve(result);
        else reject(new TransactionBroken(query.text));
      }),
    );
  });
}

type Begun = PromiseWithResolvers<void>;

/**
 * FramedQuery is a query with BEGIN before it or COMMIT after it in one message, which is a third less work for
 * both sides. They share one Sync, so that the server skips everything after a failure: with a Sync each, a
 * query whose BEGIN failed would commit on its own.
 */
class FramedQuery extends pg.Query {
  /** Used even without values, because the simple protocol has no Sync. */
  readonly queryMode = 'extended';
  readonly name: string | undefined;
  readonly #begun: Begun | null;
  #submitting = false;

  constructor(
    query: pg.QueryConfig,
    begun: Begun | null,
    callback: (error: Error | undefined, result: pg.QueryResult) => void,
  ) {
    // passed as text, because pg copies an object property by property, which takes 2 µs
    super(query.text, query.values, callback as never);
    this.name = query.name;
    this.#begun = begun;
  }

  override submit = (connection: pg.Connection) => {
    const begins = this.#begun !== null;
    // COMMIT is sent after the execution of the query; a query whose values can't be sent is not executed.
    const execute = (portal: pg.ExecuteConfig) => {
      connection.execute(portal, true);
      if (begins) return;
      // Deferred constraints and triggers are the author's, and run with the author's search path.
      sendStatement(connection, LEAVE_OWN_PATH);
      sendStatement(connection, 'commit');
    };
    connection.stream.cork();
    this.#submitting = true;
    try {
      if (begins) sendStatement(connection, 'begin');
      return submit.call(this, Object.create(connection, { execute: { value: execute } }));
    } finally {
      this.#submitting = false;
      connection.stream.uncork();
    }
  };

  handleCommandComplete(message: { text: string }, connection: pg.Connection): void {
    const own = this.#begun === null ? ['SET', 'COMMIT'] : ['BEGIN'];
    if (!own.includes(message.text)) handleCommandComplete.call(this, message, connection);
    else if (message.text === 'BEGIN') this.#begun?.resolve();
  }

  handleError(error: Error, connection: pg.Connection): void {
    // During submission only the query's values can fail: BEGIN was sent already.
    if (!this.#submitting) this.#begun?.reject(error);
    handleError.call(this, error, connection);
  }
}

function sendStatement(connection: pg.Connection, text: string): void {
  const { parse, bind, execute } = connection as unknown as Record<
    string,
    (message: object) => void
  >;
  parse!.call(connection, { text });
  bind!.call(connection, {});
  execute!.call(connection, {});
}
