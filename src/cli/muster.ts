#!/usr/bin/env node
import { createProgram } from './program.ts';
import { runCommand } from './run-command.ts';

const program = createProgram();

await runCommand(() => program.parseAsync());
