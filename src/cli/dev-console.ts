/**
 * The console of `muster dev`: that of `muster console`, and a page that sends events to the port in the argument.
 * It is a program of its own, so that no setting can give a production console this page.
 */
import { readConfig } from '../config/config.ts';
import { serveConsole } from '../console/main.ts';
import { sendPage } from '../console/send/send-page.ts';
import { wholeNumber } from './number.ts';
import { runCommand } from './run-command.ts';

void runCommand(async () => {
  const port = wholeNumber('the port that receives events', process.argv[2] ?? '');
  const config = readConfig(process.env);
  await serveConsole(config, (db) => sendPage({ db, functions: config.FUNCTIONS, port }));
  process.exit(0);
});
