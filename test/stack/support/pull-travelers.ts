/** The process under test: serves travelers, from the topic that `MOVEMENTS` names. */
import { readOptions } from '../../../functions/travelers/options.ts';
import { travelers } from '../../../functions/travelers/projection.ts';
import { readConfig } from '../../../src/config/config.ts';
import { serve } from '../../../src/process/serve.ts';

const topic = process.env['MOVEMENTS']!;
await serve(readConfig(process.env), [{ ...travelers(readOptions(process.env)), topic }]);
process.exit(0);
