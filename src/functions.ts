import { functionFiles } from './function-files.ts';
import { importFunction } from './function-module.ts';
import type { Definition, FunctionDefinition, ProjectionDefinition } from './function.ts';

/** Loads functions by name; throws if a file does not define the function of its name. */
export async function loadFunctions(names: readonly string[]): Promise<Definition[]> {
  const files = functionFiles();
  return Promise.all(names.map((name) => load(name, files.get(name))));
}

export function isProjection(definition: Definition): definition is ProjectionDefinition {
  return 'apply' in definition;
}

/** Those that run a handler for complete sets. */
export function isOfSets(definition: Definition): definition is FunctionDefinition {
  return !isProjection(definition);
}

async function load(name: string, file: string | undefined): Promise<Definition> {
  if (file === undefined) throw new Error(`functions/ has no ${name}.ts and no ${name}/index.ts`);
  const { default: definition } = (await importFunction(file)) as {
    default?: Partial<FunctionDefinition & ProjectionDefinition>;
  };
  const isComplete =
    (typeof definition?.handle === 'function' && definition.parts !== undefined) ||
    (typeof definition?.apply === 'function' && typeof definition.read === 'function');
  if (!isComplete) {
    throw new Error(
      `functions/${file} has no default export made by defineFunction or defineProjection`,
    );
  }
  if (definition.name !== name) {
    throw new Error(
      `functions/${file} defines '${definition.name}': file and function must have one name`,
    );
  }
  return definition as Definition;
}
