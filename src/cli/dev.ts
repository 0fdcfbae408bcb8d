import { stopRequested } from '../lib/stop.ts';
import { Dev } from '../local/dev-server/dev.ts';
import { wholeNumber } from './number.ts';
import { WrongUse } from './wrong-use.ts';

export interface DevCommandOptions {
  readonly databaseUrl?: string;
  readonly source?: string;
  readonly sql?: string;
  readonly port: string;
  readonly consolePort: string;
}

/**
 * Runs until Ctrl-C. The database is never taken from DATABASE_URL, which may be that of production: it would be
 * migrated, and its runs would start here.
 */
export async function run(given: DevCommandOptions): Promise<void> {
  const { databaseUrl, source, sql, port, consolePort } = given;
  if (sql !== undefined && databaseUrl !== undefined) {
    throw new WrongUse('--sql is for the embedded database, not for that of --database-url');
  }
  const options = {
    databaseUrl: databaseUrl ?? null,
    sourceUrl: source ?? null,
    sql: sql ?? null,
    port: wholeNumber('--port', port),
    consolePort: wholeNumber('--console-port', consolePort),
    say: (line: string) => void process.stdout.write(`${line}\n`),
  };
  const closed = new Promise((resolve) => process.once('SIGHUP', resolve)); // of its terminal
  const stopped = stopRequested(process.env['EXIT_WITH_STDIN'] === '1');
  await Dev.run(options, Promise.race([stopped, closed]));
  process.exit(0);
}
