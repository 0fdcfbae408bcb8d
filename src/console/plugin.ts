import type { FastifyInstance } from 'fastify';
import type { Log } from '../function.ts';
import type { Reader } from '../state/database/reader.ts';

export type { Reader };
export { Failure } from './api-answers.ts';

/**
 * The context that a function's routes receive.
 *
 * @public
 */
export interface ConsoleContext {
  readonly db: Reader;
  readonly log: Log;
  /** Aborts when the console stops; streams must then end. */
  readonly stopping: AbortSignal;
}

/**
 * A function's part of the console: the default export of `functions/<name>/console/plugin.ts`. If there is a
 * folder `page/` beside it with an `index.html`, that page is served at `/<name>/`.
 */
export interface ConsoleDefinition {
  /** Title of the page. */
  readonly title: string;
  /** Description of the API for its documentation, as Markdown. */
  readonly description: string;
  /**
   * Adds routes, which are served below `/api/<name>`. Their schemas become the documentation, and a response that
   * does not match its schema is not sent.
   */
  routes(app: FastifyInstance, context: ConsoleContext): void | Promise<void>;
}

/** Declares a function's part of the console. */
export function defineConsole<const D>(
  definition: ConsoleDefinition &
    D & { readonly [X in Exclude<keyof D, keyof ConsoleDefinition>]: never },
): ConsoleDefinition {
  return definition;
}

/** Thrown for a request with an invalid field; the response is a 400. */
export class BadField extends Error {
  override readonly name = 'BadField';
  readonly field: string;

  constructor(field: string, message: string) {
    super(`${field} ${message}`);
    this.field = field;
  }
}

/** Declares the JSON body of a response. */
export function json(schema: object): { content: Record<string, { schema: object }> } {
  return { content: { 'application/json': { schema } } };
}
