import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { logFields } from '../trace.ts';
import { readCloudEvents, type BadElement, type CloudEvent } from './cloudevent.ts';
import { Bodies } from './body.ts';
import { Refused, type Count } from './refusal.ts';
import { Taker, type Intake, type Taken } from './take.ts';
import type { Tokens } from './token.ts';

export interface IntakeOptions {
  readonly count: Count;
  /** Who may post; anybody unless given. */
  readonly tokens?: Tokens | undefined;
  /** Bytes of requests that may be held at a time; 64 MiB unless given. */
  readonly maxBytes?: number;
}

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
  { count, tokens, maxBytes = 64 * 1024 * 1024 }: IntakeOptions,
): void {
  const taker = new Taker(intake, count);
  const bodies = new Bodies({ body: app.initialConfig.bodyLimit!, total: maxBytes });
  app.register((scope, _options, done) => {
    if (tokens !== undefined) {
      // before the body is read: nobody else may keep this process busy with 16 MiB
      scope.addHook('onRequest', async ({ method, raw }) => {
        if (method === 'POST') await tokens.check(raw);
      });
    }

    scope.get('/', (_request, reply) => reply.type('text/plain; charset=utf-8').send(WHAT));

    scope.post('/', (request, reply) =>
      bodies.hold(request.raw, reply.raw, (body) => answerEvents(request, reply, body)),
    );
    done();
  });

  async function answerEvents(
    request: FastifyRequest,
    reply: FastifyReply,
    body: Buffer,
  ): Promise<FastifyReply> {
    const incoming = readCloudEvents(request.headers, body);
    if (incoming.kind === 'none') throw new Refused(400, incoming.why, 'not-a-cloudevent');
    if (incoming.kind === 'batch') {
      return answerBatch(reply, await takeAll(incoming.elements, request));
    }
    const taken = await take(incoming.event, request);
    return wantsExplanation(request.headers['prefer'])
      ? answerExplained(reply, taken)
      : answerOne(reply, taken);
  }

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
