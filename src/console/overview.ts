import type { FastifyInstance } from 'fastify';
import { json } from './plugin.ts';
import { COUNT_LIMIT, overview } from '../state/queries/overview.ts';
import type { Reader } from '../state/database/reader.ts';
import type { FunctionConsole } from './consoles.ts';
import type { DevelopmentPage } from './development-page.ts';
import { listIgnored, noteOn, type IgnoredStream } from '../state/queries/ignored.ts';
import { Failure, FunctionsAnswer, type IgnoredAnswer } from './api-answers.ts';

/** Maximum number of ignored types and tables in an answer. */
const MAX_IGNORED = 20;

/** Adds `GET /api/functions`, the state of all registered functions. */
export function addOverview(
  app: FastifyInstance,
  db: Reader,
  consoles: readonly FunctionConsole[],
  sendPage: DevelopmentPage | null,
): void {
  app.get(
    '/api/functions',
    {
      schema: {
        tags: ['functions'],
        operationId: 'getFunctions',
        summary: 'State of all functions',
        response: {
          200: { description: 'The state of all registered functions.', ...json(FunctionsAnswer) },
          503: {
            description: 'The database does not answer or is not migrated.',
            ...json(Failure),
          },
        },
      },
    },
    async (_request, reply): Promise<FunctionsAnswer> => {
      const { functions, parked, ignored } = await db.read(async (tx) => ({
        ...(await overview(tx)),
        ignored: await listIgnored(tx),
      }));
      void reply.header('cache-control', 'no-cache');
      return {
        functions: functions.map((each) => ({ ...each, page: pageOf(each.name) })),
        parked,
        ignored: ignored.slice(0, MAX_IGNORED).map(toIgnored),
        countedTo: COUNT_LIMIT,
        sendPage: sendPage === null ? null : sendPage.path.slice(1),
      };
    },
  );

  function pageOf(name: string): FunctionsAnswer['functions'][number]['page'] {
    const found = consoles.find((each) => each.name === name && each.page !== null);
    return found === undefined ? null : { title: found.title, path: `${name}/` };
  }
}

function toIgnored(stream: IgnoredStream): IgnoredAnswer {
  const { kind, name, count, lastAt, source } = stream;
  return { kind, name, count, lastAt: lastAt.toISOString(), source, note: noteOn(stream) };
}
