/** The process under test: serves the projection of numbers, from the topic that `NUMBERS` names. */
import { readConfig } from '../../../src/config/config.ts';
import { serve } from '../../../src/process/serve.ts';
import { numbers } from '../../support/numbers.ts';

await serve(readConfig(process.env), [numbers({ topic: process.env['NUMBERS']! })]);
process.exit(0);
