import { checkProjection } from './check-definition.ts';
import { DefinitionError, didYouMean } from './fields.ts';
import { functionFiles, inFunctions, knownFunctions } from './function-files.ts';
import { importFunction } from './import-function.ts';
import { loadFailure } from './load-failure.ts';
import type { Definition, FunctionDefinition, ProjectionDefinition } from '../function.ts';
import { checkSets } from './specification.ts';

/** Loads functions by name. Throws one error that lists the problems of all of them. */
export async function loadFunctions(names: readonly string[]): Promise<Definition[]> {
  const files = functionFiles();
  const loaded = await Promise.allSettled(names.map((name) => load(name, files.get(name))));
  const errors = loaded
    .filter((each) => each.status === 'rejected')
    .map(({ reason }) => reason as Error);
  if (errors.length > 1 && errors.every((each) => each instanceof DefinitionError)) {
    throw new Error(errors.map(({ message }) => message).join('\n'));
  }
  if (errors.length > 0) throw errors[0]!;
  return loaded.map((each) => (each as PromiseFulfilledResult<Definition>).value);
}

/** Whether a definition is a projection. */
export function isProjection(definition: Definition): definition is ProjectionDefinition {
  return 'apply' in definition;
}

/** Whether a definition is a function that runs a handler for complete sets. */
export function isSetFunction(definition: Definition): definition is FunctionDefinition {
  return !isProjection(definition);
}

async function load(name: string, file: string | undefined): Promise<Definition> {
  if (file === undefined) {
    throw new DefinitionError(inFunctions(''), [
      `there is no ${name}.ts and no ${name}/index.ts${didYouMean(name, knownFunctions())}`,
    ]);
  }
  const { default: definition } = await importFunction(file).catch((error: unknown) => {
    throw new DefinitionError(inFunctions(file), [loadFailure(error)]);
  });
  return checkDefinition(name, file, definition);
}

/** Returns the default export of a function's file as its definition. Throws one error that lists every problem. */
export function checkDefinition(name: string, file: string, definition: unknown): Definition {
  const problems = problemsOf(definition);
  const { name: own } = (definition ?? {}) as { name?: unknown };
  if (typeof own === 'string' && own !== name) {
    problems.push(`name is '${own}', but the file's name is '${name}': they must be equal`);
  }
  if (problems.length > 0) throw new DefinitionError(inFunctions(file), problems);
  return definition as Definition;
}

function problemsOf(definition: unknown): string[] {
  if (typeof definition !== 'object' || definition === null) {
    return ['there is no default export made by defineFunction or defineProjection'];
  }
  const problems: string[] = [];
  const report = (problem: string) => void problems.push(problem);
  if (!('parts' in definition) && ['apply', 'read', 'topic'].some((each) => each in definition)) {
    checkProjection(definition, report);
  } else {
    checkSets(definition as FunctionDefinition, report);
  }
  return problems;
}
