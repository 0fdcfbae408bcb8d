import { loadConsoles } from '../console/consoles.ts';
import { readConfig, requireFunctions } from '../config/config.ts';
import { isSetFunction, loadFunctions } from '../definitions/load-functions.ts';
import { specify, type Specification } from '../definitions/specification.ts';
import { streamOf } from '../definitions/streams.ts';
import { printResult, type JsonOption } from './print-result.ts';

/** Placeholder: this command needs no database. */
const UNNAMED = 'postgres://unnamed';

/** Loads the functions, and their parts of the console, and prints what they wait for; throws an error that lists all of their problems. */
export async function run(options: JsonOption): Promise<void> {
  const config = readConfig({ ...process.env, DATABASE_URL: UNNAMED });
  requireFunctions(config);
  const definitions = await loadFunctions(config.FUNCTIONS);
  await loadConsoles(config.FUNCTIONS);
  for (const definition of definitions) {
    if (isSetFunction(definition)) {
      const specification = specify(definition);
      printResult(
        options,
        { function: definition.name, ...specification },
        describe(specification),
      );
    } else {
      const { name, topic } = definition;
      printResult(options, { function: name, topic }, `${name}: records of the topic ${topic}`);
    }
  }
}

function describe({ name, parts }: Specification): string {
  return `${name}: ${parts.map((part) => `${part.name} (${streamOf(part)} by ${part.key.join(', ')})`).join(', ')}`;
}
