import type { IncomingHttpHeaders } from 'node:http';
import type { Span } from '@opentelemetry/api';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { logFields } from '../../telemetry/trace.ts';
import { KAFKA_EVENT } from '../cloudevents/attributes.ts';
import { Bodies } from './body.ts';
import { readCloudEvents, sentAttributes } from '../cloudevents/cloudevent.ts';
import { unread, type Incoming } from '../cloudevents/incoming.ts';
import { decoded, NotDecoded } from './encoding.ts';
import type { SchemaDecoder } from '../debezium/decode-framed.ts';
import { HttpError, type Count } from '../http-error.ts';
import { EventIngestor, type Intake, type EventResult, type ElementResult } from '../ingest.ts';
import type { Tokens } from './token.ts';

export interface IntakeOptions {
  readonly count: Count;
  /** Verifies senders; anybody may post unless given. */
  readonly tokens?: Tokens | undefined;
  /** Decodes data with a schema of a registry; there is none unless given. */
  readonly schemas?: SchemaDecoder | null;
  /** Maximum size of concurrent requests in bytes; 64 MiB unless given. */
  readonly maxBytes?: number;
}

const WHAT = `Muster takes events here: POST a CloudEvent of a type that a function names, or one whose data is a Debezium message.

  curl -X POST -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /me' \\
    -H 'ce-type: dev.knative.kafka.event' -H 'Prefer: return=representation' \\
    --data @change.json http://...
`;

/**
 * Adds `POST /`, which ingests CloudEvents and answers when their effect is committed: 204 if they are ingested or
 * change nothing; 200 with an explanation if the request has `Prefer: return=representation` (KafkaSource sends
 * `Prefer: reply`); 202 if they are parked; 503 if the sender should retry; 400 and 413 if the request
 * is not a CloudEvent or too large. `GET /` explains this.
 *
 * An answer 2xx has no body unless the sender prefers one: a Broker takes a body that is not a CloudEvent for a
 * failure, and sends the event again.
 */
export function registerIntake(
  app: FastifyInstance,
  intake: Intake,
  { count, tokens, schemas, maxBytes = 64 * 1024 * 1024 }: IntakeOptions,
): void {
  const ingestor = new EventIngestor(intake, count, schemas);
  const bodies = new Bodies({ body: app.initialConfig.bodyLimit!, total: maxBytes });
  app.register((scope, _options, done) => {
    if (tokens !== undefined) {
      // Before the body is read, so that only verified senders can make this process read 16 MiB.
      scope.addHook('onRequest', async ({ method, raw }) => {
        if (method === 'POST') await tokens.check(raw);
      });
    }

    scope.get('/', (_request, reply) => reply.type('text/plain; charset=utf-8').send(WHAT));

    scope.post('/', (request, reply) =>
      bodies.hold(request.raw, reply.raw, (body, growTo) =>
        answerEvents(request, reply, body, growTo),
      ),
    );
    done();
  });

  async function answerEvents(
    request: FastifyRequest,
    reply: FastifyReply,
    body: Buffer,
    growTo: (bytes: number) => void,
  ): Promise<FastifyReply> {
    const { headers } = request;
    const incoming = await read(headers, body, app.initialConfig.bodyLimit!, growTo);
    if (incoming.kind === 'none') throw new HttpError(400, incoming.why, 'not-a-cloudevent');
    const onFailed = (span: Span) => {
      request.log = request.log.child(logFields(span.spanContext())); // for the log line of the refusal
    };
    const meantFor = headers['muster-functions'];
    const asks = wantsExplanation(headers['prefer']) || meantFor !== undefined;
    if (incoming.kind === 'batch') {
      const batch = await ingestor.ingestBatch(incoming.batch, headers, onFailed);
      return batch.kind === 'whole'
        ? answerOne(reply, batch.result, asks)
        : answerBatch(reply, batch.elements, asks);
    }
    const event = incoming.kind === 'bad' ? incoming.element : incoming.event;
    if (meantFor !== undefined) requireServed(String(meantFor), intake.functions ?? []);
    const result = await ingestor.ingest(event, headers, onFailed);
    if (meantFor !== undefined) void reply.header('muster-outcome', result.kind);
    return wantsExplanation(headers['prefer'])
      ? answerExplained(reply, result)
      : answerOne(reply, result, asks);
  }

  async function answerExplained(reply: FastifyReply, result: EventResult): Promise<FastifyReply> {
    if (result.kind === 'parked') return answerOne(reply, result, true);
    if (result.kind === 'ignored') {
      const detail = ignoredBecause(result.why);
      return reply.send({ outcome: result.kind, why: result.why, ...detail, sets: [] });
    }
    const explained = await intake.explain(result.change);
    const isOther = result.kind === 'unwanted' && result.change.kind === 'event';
    return reply.send({ outcome: result.kind, ...explained, ...(isOther && OTHER_TYPE) });
  }
}

/** Decodes the request's body and reads its events. */
async function read(
  headers: IncomingHttpHeaders,
  body: Buffer,
  limit: number,
  growTo: (bytes: number) => void,
): Promise<Incoming> {
  const contentEncoding = headers['content-encoding'];
  if (!contentEncoding || body.length === 0) return readCloudEvents(headers, body);
  try {
    const bytes = await decoded(body, contentEncoding, limit);
    growTo(body.length + bytes.length);
    return readCloudEvents(headers, bytes);
  } catch (error) {
    if (!(error instanceof NotDecoded)) throw error;
    const contentType = headers['content-type'] ?? null;
    const attributes = sentAttributes(headers);
    return unread({ attributes, contentType, contentEncoding, body }, error.message);
  }
}

const OTHER_TYPE = {
  detail: `changes of tables come in events of type ${KAFKA_EVENT} or io.debezium.*`,
};

/** Explains why an event changes nothing if that may surprise. */
function ignoredBecause(why: string): { readonly detail: string } | null {
  switch (why) {
    case 'tombstone':
      return {
        detail:
          'a tombstone changes nothing: a delete is a message of its own, which ExtractNewRecordState sends only with delete.tombstone.handling.mode=rewrite',
      };
    default:
      return null;
  }
}

/**
 * Refuses a redelivered event that is addressed to a function which this worker does not serve. The answer would
 * be that of other functions, and the event would be deleted from where it waits.
 */
function requireServed(names: string, served: readonly string[]): void {
  const missing = names.split(',').filter((name) => name !== '' && !served.includes(name));
  if (missing.length === 0) return;
  const here = served.join(', ') || 'no function';
  throw new HttpError(
    421,
    `addressed to ${missing.join(', ')}; served here: ${here}`,
    'misdirected',
  );
}

/** Answers without an explanation; `asks`: why an event was parked belongs into the answer. */
function answerOne(reply: FastifyReply, result: EventResult, asks: boolean): FastifyReply {
  if (result.kind !== 'parked') return reply.code(204).send();
  void reply.code(202);
  return asks ? reply.send({ parked: result.reason, detail: result.detail }) : reply.send();
}

function answerBatch(
  reply: FastifyReply,
  elements: readonly ElementResult[],
  asks: boolean,
): FastifyReply {
  const parked = elements.flatMap(({ id, result }, index) =>
    result.kind === 'parked' ? [{ index, id, parked: result.reason, detail: result.detail }] : [],
  );
  if (parked.length === 0) return reply.code(204).send();
  return asks ? reply.code(202).send({ parked }) : reply.code(202).send();
}

/** RFC 7240. */
function wantsExplanation(prefer: string | string[] | undefined): boolean {
  if (prefer === undefined || prefer === 'reply') return false;
  return /(?:^|[,;\s])return\s*=\s*"?representation"?\s*(?:$|[,;])/i.test(String(prefer));
}
