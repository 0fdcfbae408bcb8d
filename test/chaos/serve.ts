/** The process under test: `muster serve`, with the functions of this folder. */
import { readConfig } from '../../src/config/config.ts';
import { serve } from '../../src/process/serve.ts';
import { definitions } from './functions.ts';

await serve(readConfig(process.env), definitions);
process.exit(0);
