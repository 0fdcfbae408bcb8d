import type { FastifyInstance } from 'fastify';
import { isTimeout } from '../state/database/database.ts';
import { explain } from '../state/queries/explain.ts';
import { listSets, type SetStatus } from '../state/queries/list-sets.ts';
import { keyText } from '../state/key-text.ts';
import type { Reader } from '../state/database/reader.ts';
import { ExplanationAnswer, Failure, SetsAnswer } from './api-answers.ts';
import { json } from './plugin.ts';

/** Maximum number of listed sets. */
const LIMIT = 100;
/** A list reads all sets of a function: of millions of sets, single ones must be looked up by key instead. */
const LIST_MS = 2_000;
const STATUSES = ['waiting', 'complete', 'running', 'done', 'failed'] as const;

const parameters = {
  type: 'object',
  properties: { name: { type: 'string', description: 'Name of the function.' } },
};
const failures = {
  400: { description: 'A parameter is invalid.', ...json(Failure) },
  404: { description: 'No such function, or no such set.', ...json(Failure) },
  503: {
    description: 'The database does not answer, is not migrated, or needs too long.',
    ...json(Failure),
  },
};

/** Adds the list of the sets of a function, and the explanation of one. */
export function addSets(app: FastifyInstance, db: Reader): void {
  app.get<{ Params: { name: string }; Querystring: { status?: SetStatus['status'] } }>(
    '/api/functions/:name/sets',
    {
      schema: {
        tags: ['functions'],
        operationId: 'getSets',
        summary: 'Sets of a function, those longest in their status first',
        params: parameters,
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            status: { type: 'string', enum: STATUSES, description: 'Only sets with this status.' },
          },
        },
        response: { 200: { description: 'At most 100 sets.', ...json(SetsAnswer) }, ...failures },
      },
    },
    async (request, reply): Promise<SetsAnswer> => {
      const { name } = request.params;
      void reply.header('cache-control', 'no-cache');
      const work = db.read(async (tx) => {
        const { rowCount } = await tx.query('select from muster.function where name = $1', [name]);
        if (rowCount === 0) throw failure(404, `there is no function ${name}`);
        await tx.query(`set local statement_timeout = ${LIST_MS}`);
        const filter = { function: name, status: request.query.status ?? null, overdue: false };
        const sets = await listSets(tx, filter, LIMIT);
        return { sets: sets.map(toAnswer), limit: LIMIT };
      });
      return work.catch((error: unknown) => {
        throw isTimeout(error)
          ? failure(503, `${name} has too many sets to list: look one up by its key`)
          : error;
      });
    },
  );

  app.get<{ Params: { name: string }; Querystring: { key: string } }>(
    '/api/functions/:name/set',
    {
      schema: {
        tags: ['functions'],
        operationId: 'explainSet',
        summary: 'The state of one set, and why it did or did not run',
        params: parameters,
        querystring: {
          type: 'object',
          additionalProperties: false,
          required: ['key'],
          properties: {
            key: {
              type: 'string',
              maxLength: 4096,
              description: 'The key as text; of several columns, a JSON array of their values.',
            },
          },
        },
        response: { 200: { description: 'The set.', ...json(ExplanationAnswer) }, ...failures },
      },
    },
    async (request, reply): Promise<ExplanationAnswer> => {
      const { name } = request.params;
      const { key } = request.query;
      void reply.header('cache-control', 'no-cache');
      const found = await db.read((tx) => explain(tx, name, keyText(key)));
      if (found === null) throw failure(404, `there is no function ${name}`);
      return found as ExplanationAnswer;
    },
  );
}

function toAnswer({
  key,
  status,
  overdue,
  since,
  missing,
  attempt,
  error,
}: SetStatus): SetsAnswer['sets'][number] {
  const times = { since: since?.toISOString() ?? null };
  return { key, status, overdue, ...times, missing: [...missing], attempt, error };
}

function failure(statusCode: number, message: string): Error {
  return Object.assign(new Error(message), { statusCode });
}
