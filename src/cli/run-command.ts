import { ConfigError } from '../config/config.ts';
import { disableWarning } from '../lib/node-warnings.ts';
import { WrongUse } from './wrong-use.ts';

/** Exit code of misuse or an invalid configuration; all other failures exit with 1. */
export const WRONG_USE = 2;

/** Time that a failed command's remaining work has to end. */
const LEFT_RUNNING_MS = 500;

/** Runs a command and reports an error in one line on standard error, and by the exit code. */
export async function runCommand(command: () => Promise<unknown>): Promise<void> {
  // An idle kafkajs sets a timer with a negative timeout, which is harmless. Node would print a warning about
  // it in the middle of the log, in a format that no log reader understands.
  disableWarning('TimeoutNegativeWarning');
  try {
    await command();
  } catch (error) {
    const wrong = error instanceof ConfigError || error instanceof WrongUse;
    const message = wrong ? error.message : (await import('./failure.ts')).describe(error);
    process.stderr.write(`muster: ${message}\n`);
    process.exitCode = wrong ? WRONG_USE : 1;
    setTimeout(() => process.exit(), LEFT_RUNNING_MS).unref();
  }
}
