import type { FastifyInstance } from 'fastify';
import type { Log } from '../function.ts';
import type { Reader } from '../state/database/reader.ts';

export type { Reader };
export { Failure } from './contract.ts';

/**
 * What the routes of a function receive.
 *
 * @public
 */
export interface ConsoleContext {
  readonly db: Reader;
  readonly log: Log;
  /** Aborts when the console stops: streams must end then. */
  readonly stopping: AbortSignal;
}

/**
 * What a function adds to the console: the default export of `functions/<name>/console/plugin.ts`. A folder
 * `page/` beside it, with an `index.html`, is served as `/<name>/`.
 */
export interface ConsoleDefinition {
  /** Title of the page. */
  readonly title: string;
  /** Description of the API for its documentation, in Markdown. */
  readonly description: string;
  /**
   * Adds routes, which are served below `/api/<name>`. Their schemas become the documentation, and an answer that
   * its response schema does not declare is not sent.
   */
  routes(app: FastifyInstance, context: ConsoleContext): void | Promise<void>;
}

/** Declares what a function adds to the console. */
export function defineConsole<const D>(
  definition: ConsoleDefinition &
    D & { readonly [X in Exclude<keyof D, keyof ConsoleDefinition>]: never },
): ConsoleDefinition {
  return definition;
}

/** A request with an invalid field; it is answered 400. */
export class BadField extends Error {
  override readonly name = 'BadField';
  readonly field: string;

  constructor(field: string, message: string) {
    super(`${field} ${message}`);
    this.field = field;
  }
}

/** Declares a JSON body in a response schema. */
export function json(schema: object): { content: Record<string, { schema: object }> } {
  return { content: { 'application/json': { schema } } };
}
