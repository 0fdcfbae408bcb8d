/** `muster serve` without the other commands: what a bundle starts a pod with, by build/muster.js. */
import { runCommand } from './run-command.ts';
import { run } from './serve.ts';

void runCommand(run);
