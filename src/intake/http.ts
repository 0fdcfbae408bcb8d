import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { logFields } from '../trace.ts';
import { readCloudEvents, type BadElement, type CloudEvent } from './cloudevent.ts';
import { Refused, type Count } from './refusal.ts';
import { Taker, type Intake, type Taken } from './take.ts';
import type { Tokens } from './token.ts';

export interface IntakeOptions {
  readonly count: Count;
  /** Who may post; anybody unless given. */
  readonly tokens?: Tokens | undefined;
}

const NOTHING = Buffer.alloc(0);

/** What Fastify takes for a media type (RFC 9110, 8.3.1). */
const MEDIA_TYPE = /^\s*[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(?:;|$)/;

const WHAT = `Muster takes change events here: POST a CloudEvent whose data is a Debezium message.

  curl -X POST -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /me' \\
    -H 'ce-type: dev.knative.kafka.event' -H 'Prefer: return=representation' \\
    --data @change.json http://...
`;

/** Elements of a batch filed at a time: as many as one statement takes. */
const CHUNK = 256;

/**
 * `POST /` takes CloudEvents and answers once their effect is committed:
 * 204 filed, or nothing to file; 200 with an explanation where `Prefer: return=representation` asks
 * for it (KafkaSource sends `Prefer: reply`); 202 kept aside, with the reason; 503 try again; 400
 * and 413 for what is no CloudEvent or too large. `GET /` says so to people.
 */
export function registerIntake(
  app: FastifyInstance,
  intake: Intake,
  { count, tokens }: IntakeOptions,
): void {
  const taker = new Taker(intake, count);
  app.register((scope, _options, done) => {
    // KafkaSource sends Debezium's JSON without a content type, and a record's content-type header as
    // it is. Where Fastify has no parser, or the header is no media type, it answers 415, which
    // loses the event.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) =>
      parsed(null, body),
    );
    scope.addHook('onRequest', (request, _reply, next) => {
      const { headers } = request;
      if (headers['content-type'] !== undefined && !MEDIA_TYPE.test(headers['content-type'])) {
        headers['content-type'] = 'application/octet-stream';
      }
      next();
    });

    if (tokens !== undefined) {
      // before the body is read: nobody else may keep this process busy with 16 MiB
      scope.addHook('onRequest', async ({ method, raw }) => {
        if (method === 'POST') await tokens.check(raw);
      });
    }

    scope.get('/', (_request, reply) => reply.type('text/plain; charset=utf-8').send(WHAT));

    scope.post('/', async (request, reply) => {
      const body = Buffer.isBuffer(request.body) ? request.body : NOTHING;
      const incoming = readCloudEvents(request.headers, body);
      if (incoming.kind === 'none') throw new Refused(400, incoming.why, 'not-a-cloudevent');
      if (incoming.kind === 'batch') {
        return answerBatch(reply, await takeAll(incoming.elements, request));
      }
      const meantFor = request.headers['muster-functions'];
      if (meantFor !== undefined) requireServed(String(meantFor), intake.functions ?? []);
      const taken = await take(incoming.event, request);
      if (meantFor !== undefined) void reply.header('muster-outcome', taken.kind);
      return wantsExplanation(request.headers['prefer'])
        ? answerExplained(reply, taken)
        : answerOne(reply, taken);
    });
    done();
  });

  function take(element: CloudEvent | BadElement, request: FastifyRequest): Promise<Taken> {
    return taker.take(element, request.headers, (span) => {
      request.log = request.log.child(logFields(span.spanContext())); // for the line of the refusal
    });
  }

  /** Every element is tried before the first failure is thrown; those committed are duplicates next time. */
  async function takeAll(
    elements: readonly (CloudEvent | BadElement)[],
    request: FastifyRequest,
  ): Promise<Taken[]> {
    const taken: Taken[] = [];
    for (let from = 0; from < elements.length; from += CHUNK) {
      const chunk = elements.slice(from, from + CHUNK);
      const results = await Promise.allSettled(chunk.map((element) => take(element, request)));
      for (const result of results) {
        if (result.status === 'rejected') throw result.reason;
        taken.push(result.value);
      }
    }
    return taken;
  }

  async function answerExplained(reply: FastifyReply, taken: Taken): Promise<FastifyReply> {
    if (taken.kind === 'parked') return answerOne(reply, taken);
    const explained =
      taken.kind === 'ignored'
        ? { outcome: taken.kind, why: taken.why, sets: [] }
        : { outcome: taken.kind, sets: await intake.explain(taken.change) };
    return reply.send(explained);
  }
}

/**
 * A redelivered event names the functions it is for. Another worker must not take it: the answer would be
 * that of its own functions, and the event would be deleted where it waits.
 */
function requireServed(names: string, served: readonly string[]): void {
  const missing = names.split(',').filter((name) => name !== '' && !served.includes(name));
  if (missing.length === 0) return;
  const here = served.join(', ') || 'no function';
  throw new Refused(421, `meant for ${missing.join(', ')}; served here: ${here}`, 'misdirected');
}

function answerOne(reply: FastifyReply, taken: Taken): FastifyReply {
  return taken.kind === 'parked'
    ? reply.code(202).send({ parked: taken.reason, detail: taken.detail })
    : reply.code(204).send();
}

function answerBatch(reply: FastifyReply, taken: readonly Taken[]): FastifyReply {
  const parked = taken.filter((one) => one.kind === 'parked');
  if (parked.length === 0) return reply.code(204).send();
  return reply
    .code(202)
    .send({ parked: parked.map(({ reason, detail }) => ({ parked: reason, detail })) });
}

/** RFC 7240. */
function wantsExplanation(prefer: string | string[] | undefined): boolean {
  if (prefer === undefined || prefer === 'reply') return false;
  return /(?:^|[,;\s])return\s*=\s*"?representation"?\s*(?:$|[,;])/i.test(String(prefer));
}
