/**
 * Sends Kafka records to a function as a Knative KafkaSource does (dispatcher of 2026-07, recorded in
 * test/fixtures/knative): the same request byte for byte, unordered, tried again on the same answers.
 * One difference: a KafkaSource gives up after its retries and drops the event; this one does not.
 */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** A record as Kafka hands it to the KafkaSource. */
export interface KafkaRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Epoch milliseconds. */
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string | null;
}

export interface ForwarderOptions {
  /** Where the function listens. */
  readonly sink: string;
  /** The KafkaSource that is played. */
  readonly namespace: string;
  readonly name: string;
  /** Requests under way at a time; 50 unless given. */
  readonly inFlight?: number;
  /** First wait before a retry, in milliseconds; the n-th is n times as long, up to 5 s. */
  readonly backoff?: number;
  /** No answer within so many milliseconds is a failure; 30 s unless given. */
  readonly timeout?: number;
  /** Told of an answer that no retry changes. */
  readonly onRefusal?: (record: KafkaRecord, status: number, body: string) => void;
}

/** 404 to 429 mean "not yet" to Knative; everything else below 500 is final. */
const RETRIED = new Set([404, 408, 409, 429]);

export class Forwarder {
  readonly #options: Required<Omit<ForwarderOptions, 'onRefusal'>> & ForwarderOptions;
  readonly #agent: Agent;
  readonly #stopping = new AbortController();
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;

  constructor(options: ForwarderOptions) {
    this.#options = { inFlight: 50, backoff: 200, timeout: 30_000, ...options };
    this.#agent = new Agent({ keepAlive: true, maxSockets: this.#options.inFlight });
  }

  /** Settles once there is room for one more request: the brake on whoever reads the source. */
  async room(): Promise<void> {
    while (this.#underWay >= this.#options.inFlight) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#stopping.signal.throwIfAborted();
  }

  /** Settles once the record got its 2xx, or an answer that no retry changes; rejects after `stop`. */
  async post(record: KafkaRecord): Promise<void> {
    this.#underWay += 1;
    try {
      for (let attempt = 1; ; attempt += 1) {
        const { status, body } = await this.#send(record).catch(noAnswer);
        if (status >= 200 && status < 300) return;
        if (status > 0 && status < 500 && !RETRIED.has(status)) {
          this.#options.onRefusal?.(record, status, body);
          return;
        }
        const wait = Math.min(attempt * this.#options.backoff, 5_000);
        await sleep(wait, undefined, { signal: this.#stopping.signal });
      }
    } finally {
      this.#underWay -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** Gives up what is under way. */
  stop(): void {
    this.#stopping.abort();
    this.#agent.destroy();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #send(record: KafkaRecord): Promise<Answer> {
    const { sink, timeout } = this.#options;
    const { signal } = this.#stopping;
    const body = record.value === null ? null : Buffer.from(record.value);
    return new Promise((resolve, reject) => {
      const sent = request(sink, {
        method: 'POST',
        agent: this.#agent,
        setHost: false,
        signal,
        timeout,
      });
      for (const [name, value] of requestHeaders(record, this.#options))
        sent.setHeader(name, value);
      if (body) sent.setHeader('content-length', body.length);
      sent.setHeader('host', new URL(sink).host);
      sent.removeHeader('connection'); // Vert.x sends none of these where Node would
      if (!body)
        for (const name of ['content-length', 'transfer-encoding']) sent.removeHeader(name);

      sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
      sent.on('error', reject);
      sent.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        );
      });
      sent.end(body);
    });
  }
}

interface Answer {
  /** 0: none came. */
  readonly status: number;
  readonly body: string;
}

function noAnswer(error: Error): Answer {
  return { status: 0, body: error.message };
}

/** The headers of a plain record, in the order of the wire, without content-length and host. */
export function requestHeaders(
  { topic, partition, offset, timestamp, key }: KafkaRecord,
  { namespace, name }: Pick<ForwarderOptions, 'namespace' | 'name'>,
): [string, string][] {
  return [
    ['user-agent', 'Vert.x-WebClient/4.5.21'],
    ['Prefer', 'reply'],
    ['Kn-Namespace', namespace],
    ['ce-specversion', '1.0'],
    ['ce-id', `partition:${partition}/offset:${offset}`],
    ['ce-source', `/apis/v1/namespaces/${namespace}/kafkasources/${name}#${topic}`],
    ['ce-type', 'dev.knative.kafka.event'],
    ['ce-subject', `partition:${partition}#${offset}`],
    ['ce-time', new Date(timestamp).toISOString()],
    ...(key === null ? [] : [['ce-partitionkey', key] as [string, string]]),
    ['ce-knativekafkapartition', String(partition)],
    ['ce-knativekafkaoffset', String(offset)],
    ...(key === null ? [] : [['ce-key', key] as [string, string]]),
  ];
}
