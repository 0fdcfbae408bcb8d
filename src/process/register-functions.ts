import type { FunctionDefinition, Log } from '../function.ts';
import { isToRelieve } from '../state/registration/announce.ts';
import type { Database } from '../state/database/database.ts';
import { specify } from '../definitions/specification.ts';
import { describeUnread, unsyncedParts } from '../state/registration/parts.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { register, registered } from '../state/registration/register.ts';

/** A function of this process with its registration. */
export interface ServedFunction {
  readonly definition: FunctionDefinition;
  readonly served: RegisteredFunction;
}

/**
 * Registers every function. A new definition closes the workers that serve another one, so `relieve` comes
 * first while such a worker is alive. Throws `Superseded` while another release is to serve; then nothing is
 * registered.
 */
export async function registerAll(
  database: Database,
  definitions: readonly FunctionDefinition[],
  log: Log,
  relieve: () => Promise<void>,
): Promise<ServedFunction[]> {
  const specified = definitions.map((definition) => [definition, specify(definition)] as const);
  const specifications = specified.map(([, specification]) => specification);
  const known = await registered(database, specifications);
  const unknown = specifications.filter(({ name }) => !known.has(name));
  if (unknown.length > 0 && (await isToRelieve(database, unknown))) {
    await relieve();
    // A rollback in the meantime applies to all functions, so check all of them before one is registered.
    await isToRelieve(database, unknown);
  }
  const functions: ServedFunction[] = [];
  for (const [definition, specification] of specified) {
    const served = known.get(specification.name) ?? (await register(database, specification));
    functions.push({ definition, served });
  }
  if (unknown.length > 0) await warnOfUnread(database, unknown, log);
  return functions;
}

/**
 * Warns of parts whose tables were not read before. `muster migrate` warns of those that it registers; these
 * definitions it only announced.
 */
async function warnOfUnread(
  database: Database,
  registeredHere: readonly { readonly name: string }[],
  log: Log,
): Promise<void> {
  const names = registeredHere.map(({ name }) => name);
  for (const unread of await unsyncedParts(database, names)) {
    log.warn({ function: unread.function }, describeUnread(unread));
  }
}
