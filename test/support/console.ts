import { onTestFinished } from 'vitest';
import { createConsole } from '../../src/console/app.ts';
import { loadConsoles } from '../../src/console/consoles.ts';
import { openReader, type Reader } from '../../src/state/database/reader.ts';
import type { TestDatabase } from './test.ts';

export interface TestConsole {
  readonly url: string;
  /** The number of statements that it has sent to the database. */
  readonly statements: number;
  /** Stops the console before the end of the test. */
  stop(): Promise<void>;
}

/** Starts the console on the test's database, on a free port by default. */
export async function consoleOn(
  db: Pick<TestDatabase, 'url'>,
  { functions = ['travelers'], port = 0 } = {},
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
  const app = await createConsole({ db: counting, consoles: await loadConsoles(functions) });
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
