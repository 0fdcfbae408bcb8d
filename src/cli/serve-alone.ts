/** `muster serve` without the other commands: the entry point of the bundle, started by build/launcher.js. */
import { runCommand } from './run-command.ts';
import { run } from './serve.ts';

void runCommand(run);
