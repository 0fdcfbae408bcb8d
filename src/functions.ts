import type { FunctionDefinition } from './function.ts';

/** Loads functions by name; throws if a file does not define the function of its name. */
export async function loadFunctions(names: readonly string[]): Promise<FunctionDefinition[]> {
  return Promise.all(names.map(load));
}

async function load(name: string): Promise<FunctionDefinition> {
  // The bundle is JavaScript, the sources are not.
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const module = (await import(
    new URL(`../functions/${name}.${ending}`, import.meta.url).href
  )) as {
    default?: FunctionDefinition;
  };
  const definition = module.default;
  if (typeof definition?.handle !== 'function' || definition.parts === undefined) {
    throw new Error(`functions/${name} has no default export made by defineFunction`);
  }
  if (definition.name !== name) {
    throw new Error(
      `functions/${name} defines '${definition.name}': file and function must have one name`,
    );
  }
  return definition;
}
