import { readConfig } from '../config.ts';
import { loadFunctions } from '../functions.ts';
import { serve } from '../main.ts';

export async function run(): Promise<void> {
  const config = readConfig(process.env);
  await serve(config, await loadFunctions(config.FUNCTIONS));
  process.exit(0); // whatever a handler left behind must not keep the process
}
