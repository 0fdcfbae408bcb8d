import type { FastifyInstance } from 'fastify';

/** A page that writes, which only the console of `muster dev` has. */
export interface DevelopmentPage {
  /** Begins and ends with a slash. */
  readonly path: string;
  /** Adds the page and its API, below the path. */
  add(app: FastifyInstance): Promise<void>;
}
