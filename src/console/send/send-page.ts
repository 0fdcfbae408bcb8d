import type { FastifyInstance } from 'fastify';
import { exampleMessages } from '../../definitions/example-message.ts';
import type { Reader } from '../../state/database/reader.ts';
import { specifications } from '../../state/queries/specifications.ts';
import { Failure } from '../api-answers.ts';
import type { DevelopmentPage } from '../development-page.ts';
import { servePage } from '../page.ts';
import { json } from '../plugin.ts';
import { ExamplesAnswer, SendAnswer, SendRequest } from './answers.ts';
import { postEvent } from './post-event.ts';

/** Not the path of a function's page: names of functions begin with a letter. */
const PATH = '/_send/';
const BODY_LIMIT = 1024 * 1024;
/** Names of this machine. A page of another site can make its own name point here, but must send that name. */
const LOCAL: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

export interface SendPageOptions {
  readonly db: Reader;
  /** Names of the functions that are served. */
  readonly functions: readonly string[];
  /** Port of the process that ingests events, on this machine. */
  readonly port: number;
}

/**
 * Returns the page that sends events to a function, for the console of `muster dev`. A web page of another site
 * can't post through it: the body must be JSON, for which a browser asks first whether the console permits it.
 */
export function sendPage({ db, functions, port }: SendPageOptions): DevelopmentPage {
  const examples = async (): Promise<ExamplesAnswer> => {
    const registered = await db.read((tx) => specifications(tx, functions));
    const parts = registered.flatMap((each) => each.parts);
    return {
      url: `http://localhost:${port}`,
      functions: registered.map((each) => ({
        name: each.name,
        examples: exampleMessages(each, parts).map((example) => ({
          ...example,
          message: JSON.stringify(example.message, null, 2),
        })),
      })),
    };
  };
  return { path: PATH, add };

  async function add(app: FastifyInstance): Promise<void> {
    const failures = { '4xx': json(Failure), '5xx': json(Failure) };
    app.get(
      `${PATH}examples`,
      { schema: { hide: true, response: { 200: json(ExamplesAnswer), ...failures } } },
      (_request, reply) => {
        void reply.header('cache-control', 'no-cache');
        return examples();
      },
    );
    app.post<{ Body: SendRequest }>(
      `${PATH}events`,
      {
        bodyLimit: BODY_LIMIT,
        schema: {
          hide: true,
          body: SendRequest,
          response: { 200: json(SendAnswer), ...failures },
        },
      },
      ({ body, hostname }, reply) => {
        if (!LOCAL.has(hostname)) {
          return reply.code(403).send({ error: `the console is at localhost, not ${hostname}` });
        }
        void reply.header('cache-control', 'no-store');
        return postEvent(`http://127.0.0.1:${port}/`, body.message);
      },
    );
    await servePage(app, PATH, new URL('page/', import.meta.url));
  }
}
