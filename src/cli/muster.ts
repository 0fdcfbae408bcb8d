#!/usr/bin/env node
import { nodeProblem } from '../lib/node-version.ts';
import { createProgram } from './program.ts';
import { runCommand } from './run-command.ts';

await runCommand(async () => {
  // otherwise a command fails at whatever this version lacks
  const problem = nodeProblem(process.versions.node);
  if (problem !== null) throw new Error(problem);
  await createProgram().parseAsync();
});
