import { setTimeout as sleep } from 'node:timers/promises';

/** Returns a change of one row in the format of Debezium's JsonConverter. */
export function envelope(
  op: 'c' | 'u' | 'd',
  lsn: number,
  row: object,
  table = 'public.item',
): string {
  const [schema, name] = table.split('.');
  const image = op === 'd' ? { before: row, after: null } : { before: null, after: row };
  const source = {
    name: 'test',
    schema,
    table: name,
    lsn,
    ts_ms: STARTED + lsn,
    snapshot: 'false',
  };
  return JSON.stringify({ ...image, source, op, ts_ms: STARTED + lsn });
}

const STARTED = Date.now();

/** The outcome of one attempt to deliver an event: the status with the reason of a refusal, or why there is none. */
export interface Try {
  readonly status: number | null;
  readonly reason: string | null;
}

/** Sends one POST as a KafkaSource does; `ms` is the timeout. */
export async function post(url: string, body: string | Buffer, ms = 5_000): Promise<Try> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'ce-specversion': '1.0',
        'ce-id': 'partition:0/offset:1',
        'ce-source': '/apis/v1/namespaces/default/kafkasources/test#items',
        'ce-type': 'dev.knative.kafka.event',
        prefer: 'reply',
      },
      body: Buffer.from(body as string),
      signal: AbortSignal.timeout(ms),
    });
    await response.arrayBuffer();
    return { status: response.status, reason: response.headers.get('kne-reason') };
  } catch (error) {
    const { message, cause } = error as Error;
    return { status: null, reason: cause instanceof Error ? cause.message : message };
  }
}

/**
 * Delivers an event at least once, as a KafkaSource: no answer, 404, 408, 409, 429 and 5xx are retried, at
 * the address that `url` returns then. Returns every attempt, added to `tries` as it ends; throws for a
 * final answer.
 */
export async function deliver(
  url: () => string,
  body: string | Buffer,
  tries: Try[] = [],
): Promise<readonly Try[]> {
  const end = performance.now() + 30_000;
  for (;;) {
    const tried = await post(url(), body);
    tries.push(tried);
    const { status } = tried;
    if (status !== null && status < 300) return tries;
    if (status !== null && status < 500 && ![404, 408, 409, 429].includes(status)) {
      throw new Error(`the event was permanently refused: ${status} ${tried.reason}`);
    }
    if (performance.now() > end) throw new Error(`not delivered: ${JSON.stringify(tries.at(-1))}`);
    await sleep(20);
  }
}
