import { setImmediate as turn } from 'node:timers/promises';
import { readConfig, requireFunctions } from '../config/config.ts';
import { isSetFunction, loadFunctions } from '../definitions/load-functions.ts';
import { openWarmConnection } from '../process/warm-connection.ts';
import { stopRequested } from '../lib/stop.ts';

export async function run(): Promise<void> {
  const config = readConfig(process.env);
  requireFunctions(config);
  // first of all, because as PID 1 a process ignores signals without a handler
  const stopped = stopRequested(config.EXIT_WITH_STDIN === '1');
  const definitions = await loadFunctions(config.FUNCTIONS);
  const opening = openWarmConnection(config, definitions.filter(isSetFunction));
  try {
    await turn(); // lets the connections make progress
    const { serve } = await import('../process/serve.ts');
    await serve(config, definitions, opening, stopped);
  } catch (error) {
    void opening.database.close();
    throw error;
  }
  process.exit(0); // nothing that a handler left running may keep the process alive
}
