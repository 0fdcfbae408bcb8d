import { existsSync } from 'node:fs';
import {
  checkFields,
  DefinitionError,
  type Fields,
  functionField,
  required,
  textField,
} from '../definitions/fields.ts';
import { functionsFolder, inFunctions } from '../definitions/function-files.ts';
import type { ConsoleDefinition } from './plugin.ts';

const CONSOLE = {
  title: required(textField),
  description: required(textField),
  routes: required(functionField),
} satisfies Fields<ConsoleDefinition>;

/** One function's part of the console. */
export interface FunctionConsole extends ConsoleDefinition {
  /** The function's name. */
  readonly name: string;
  /** The folder with the sources or the built files of its page; null if it has none. */
  readonly page: URL | null;
}

/** Loads `functions/<name>/console/plugin.ts` (or `.js`) of each function that has one. */
export async function loadConsoles(names: readonly string[]): Promise<FunctionConsole[]> {
  return (await Promise.all(names.map(load))).flat();
}

async function load(name: string): Promise<FunctionConsole[]> {
  const folder = new URL(`${name}/console/`, functionsFolder());
  const files = ['plugin.ts', 'plugin.js', `../../../consoles/${name}.js`]; // the last in a bundle
  const file = files.map((each) => new URL(each, folder)).find((each) => existsSync(each));
  if (file === undefined) return [];
  const { default: definition } = (await import(file.href)) as { default?: unknown };
  checkConsole(inFunctions(`${name}/console/plugin`), definition);
  const page = new URL('page/', folder);
  return [{ ...definition, name, page: existsSync(new URL('index.html', page)) ? page : null }];
}

/** Throws one error that lists all problems of a definition, if there are any. */
export function checkConsole(
  file: string,
  definition: unknown,
): asserts definition is ConsoleDefinition {
  const problems: string[] = [];
  if (definition === undefined) problems.push('there is no default export made by defineConsole');
  else checkFields<ConsoleDefinition>('', definition, CONSOLE, (problem) => problems.push(problem));
  if (problems.length > 0) throw new DefinitionError(file, problems);
}
