import type { FastifyInstance } from 'fastify';
import type { Log } from '../function.ts';
import type { Reader } from '../state/database/reader.ts';

export type { Reader };

/**
 * What a function's part of the console is given.
 *
 * @public
 */
export interface ConsoleContext {
  readonly db: Reader;
  readonly log: Log;
  /** Aborts when the console is asked to stop: streams end then. */
  readonly stopping: AbortSignal;
}

/**
 * What a function brings to the console: the default export of `functions/<name>/console/plugin.ts`.
 * A folder `page/` beside it, with an `index.html`, is served as `/<name>/`.
 */
export interface ConsoleDefinition {
  /** A few words for people: the name of the page. */
  readonly title: string;
  /** A sentence or more, in Markdown, for the documentation of the API. */
  readonly description: string;
  /** Adds routes; they are served below `/api/<name>`. Their schemas become the documentation. */
  routes(app: FastifyInstance, context: ConsoleContext): void | Promise<void>;
}

/** Declares what a function brings to the console. */
export function defineConsole<const D>(
  definition: ConsoleDefinition &
    D & { readonly [X in Exclude<keyof D, keyof ConsoleDefinition>]: never },
): ConsoleDefinition {
  return definition;
}

/** A request that can't be answered as it is, because of one of its fields: answered with 400. */
export class BadField extends Error {
  override readonly name = 'BadField';
  readonly field: string;

  constructor(field: string, message: string) {
    super(`${field} ${message}`);
    this.field = field;
  }
}

/** The body of every answer of 4xx and 5xx. */
export interface Failure {
  /** One sentence for people. */
  readonly error: string;
  /** A word for programs. */
  readonly reason: string;
  /** The query parameter or body field that is wrong, where it is one. */
  readonly field?: string;
}

/** JSON schema of {@link Failure}, for the documentation. */
export const failureSchema = {
  type: 'object',
  required: ['error', 'reason'],
  properties: {
    error: { type: 'string', description: 'One sentence for people.' },
    reason: { type: 'string', description: 'A word for programs.' },
    field: { type: 'string', description: 'The parameter that is wrong, where it is one.' },
  },
} as const;
