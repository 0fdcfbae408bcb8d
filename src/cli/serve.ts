import { readConfig } from '../config.ts';
import { serve } from '../main.ts';

export async function run(): Promise<void> {
  await serve(readConfig(process.env));
  process.exit(0); // whatever a handler left behind must not keep the process
}
