import { setImmediate as turn } from 'node:timers/promises';
import { readConfig } from '../config/config.ts';
import { isSetFunction, loadFunctions } from '../definitions/load-functions.ts';
import { openWarmConnection } from '../process/warm-connection.ts';
import { stopRequested } from '../lib/stop.ts';

export async function run(): Promise<void> {
  const config = readConfig(process.env);
  // From the first moment on: as PID 1 a process ignores signals that nothing handles.
  const stopped = stopRequested(config.EXIT_WITH_STDIN === '1');
  const definitions = await loadFunctions(config.FUNCTIONS);
  const opening = openWarmConnection(config, definitions.filter(isSetFunction));
  try {
    await turn(); // of the event loop, in which the connections go on
    const { serve } = await import('../process/serve.ts');
    await serve(config, definitions, opening, stopped);
  } catch (error) {
    void opening.database.close();
    throw error;
  }
  process.exit(0); // whatever a handler left behind must not keep the process
}
