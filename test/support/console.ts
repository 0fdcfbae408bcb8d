import { onTestFinished } from 'vitest';
import { createConsole } from '../../src/console/app.ts';
import { loadConsoles } from '../../src/console/consoles.ts';
import { sendPage } from '../../src/console/send/send-page.ts';
import { openReader, type Reader } from '../../src/state/database/reader.ts';
import type { TestDatabase } from './test.ts';

export interface TestConsole {
  readonly url: string;
  /** The number of statements that it has sent to the database. */
  readonly statements: number;
  /** Stops the console before the end of the test. */
  stop(): Promise<void>;
}

interface TestConsoleOptions {
  readonly functions?: readonly string[];
  /** A free one by default. */
  readonly port?: number;
  /** The page that sends events: names of the functions, and the port to which it sends. */
  readonly send?: { readonly functions: readonly string[]; readonly port: number };
}

/** Starts the console on the test's database. */
export async function consoleOn(
  db: Pick<TestDatabase, 'url'>,
  { functions = ['travelers'], port = 0, send }: TestConsoleOptions = {},
): Promise<TestConsole> {
  const reader = openReader({
    url: db.url,
    connections: 4,
    statementTimeoutMs: 15_000,
    onIdleError: () => {},
  });
  let statements = 0;
  const counting: Reader = {
    read: (work) =>
      reader.read((tx) =>
        work({
          query(text, values) {
            statements++;
            return tx.query(text, values);
          },
        }),
      ),
  };
  const app = await createConsole({
    db: counting,
    consoles: await loadConsoles(functions),
    sendPage: send === undefined ? null : sendPage({ db: counting, ...send }),
  });
  const url = await app.listen({ host: '127.0.0.1', port });
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= app.close().then(() => reader.close()));
  onTestFinished(stop);
  return {
    url,
    get statements() {
      return statements;
    },
    stop,
  };
}
