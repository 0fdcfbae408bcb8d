import pg from 'pg';
import { errorText, TransactionBroken } from './author-query.ts';
import { LEAVE_OWN_PATH } from './session.ts';

/** What @types/pg leaves out, or has otherwise. */
interface Protocol {
  readonly submit: (connection: pg.Connection) => Error | null;
  readonly handleCommandComplete: (message: { text: string }, connection: pg.Connection) => void;
  readonly handleError: (error: Error, connection: pg.Connection) => void;
}
const { submit, handleCommandComplete, handleError } = pg.Query.prototype as unknown as Protocol;

/**
 * Begins a transaction with its first query. `begun` is fulfilled where BEGIN succeeds and the query
 * fails; both are answered at once, when the query is through.
 */
export function beginWith(client: pg.ClientBase, query: pg.QueryConfig) {
  const begun = Promise.withResolvers<void>();
  const answer = ask(client, query, begun);
  answer.catch(() => {}); // it may come before anybody waits for it
  return { begun: begun.promise, answer };
}

/** Sends the last query of a transaction; fulfilled when that is committed. After an error it is still open. */
export function commitWith(client: pg.ClientBase, query: pg.QueryConfig): Promise<pg.QueryResult> {
  return ask(client, query, null);
}

function ask(client: pg.ClientBase, query: pg.QueryConfig, begun: Begun | null) {
  return new Promise<pg.QueryResult>((resolve, reject) => {
    client.query(
      new FramedQuery(query, begun, (error, result) => {
        if (error) reject(errorText(error));
        // called while its ReadyForQuery is handled, see askAuthor
        else if (begun === null || client.getTransactionStatus() === 'T') resolve(result);
        else reject(new TransactionBroken(query.text));
      }),
    );
  });
}

type Begun = PromiseWithResolvers<void>;

/**
 * A query with BEGIN before it or COMMIT behind it, in one message, at a third less of the work for both
 * sides. One Sync ends them all, so that the server skips what stands behind a failure: with a Sync
 * each, a query whose BEGIN failed would commit by itself.
 */
class FramedQuery extends pg.Query {
  /** Without values too: the simple protocol has no Sync. */
  readonly queryMode = 'extended';
  readonly name: string | undefined;
  readonly #begun: Begun | null;
  #submitting = false;

  constructor(
    query: pg.QueryConfig,
    begun: Begun | null,
    callback: (error: Error | undefined, result: pg.QueryResult) => void,
  ) {
    // as texts: of an object pg makes a copy, property by property, at 2 µs
    super(query.text, query.values, callback as never);
    this.name = query.name;
    this.#begun = begun;
  }

  override submit = (connection: pg.Connection) => {
    const begins = this.#begun !== null;
    // behind the execution, and nowhere else: a query whose values can't be sent has none
    const execute = (portal: pg.ExecuteConfig) => {
      connection.execute(portal, true);
      if (begins) return;
      // what is deferred to COMMIT is the author's, and looks where the author looks
      send(connection, LEAVE_OWN_PATH);
      send(connection, 'commit');
    };
    connection.stream.cork();
    this.#submitting = true;
    try {
      if (begins) send(connection, 'begin');
      return submit.call(this, Object.create(connection, { execute: { value: execute } }));
    } finally {
      this.#submitting = false;
      connection.stream.uncork();
    }
  };

  handleCommandComplete(message: { text: string }, connection: pg.Connection): void {
    const ours = this.#begun === null ? ['SET', 'COMMIT'] : ['BEGIN'];
    if (!ours.includes(message.text)) handleCommandComplete.call(this, message, connection);
    else if (message.text === 'BEGIN') this.#begun?.resolve();
  }

  handleError(error: Error, connection: pg.Connection): void {
    // while it is submitted, it is the query's values that can't be sent: BEGIN is on its way
    if (!this.#submitting) this.#begun?.reject(error);
    handleError.call(this, error, connection);
  }
}

function send(connection: pg.Connection, text: string): void {
  const { parse, bind, execute } = connection as unknown as Record<
    string,
    (message: object) => void
  >;
  parse!.call(connection, { text });
  bind!.call(connection, {});
  execute!.call(connection, {});
}
