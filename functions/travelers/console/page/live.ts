import type { MetricsAnswer } from '../contract.ts';
import { Refusal, refusalOf } from './api.ts';

/** After so long without a word the stream is taken for dead; the server speaks every 10 s. */
const SILENCE_MS = 25_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

export interface Listener {
  /** The server's clock is so far ahead of the browser's, in milliseconds; negative: behind. */
  clock(aheadMs: number): void;
  metrics(answer: MetricsAnswer): void;
  /** The stream is well, and there is nothing new. */
  alive(): void;
  /** The server is there but can't read its numbers. */
  failing(): void;
  /** There is no stream; it is tried again in a while. What the server said, if it said anything. */
  disconnected(why: string | null): void;
  /** The server refuses these parameters: it is not tried again. */
  refused(refusal: Refusal): void;
}

/**
 * Follows a stream of server-sent events until `signal` aborts, across disconnections. With `fetch` in
 * place of `EventSource`, because that tells neither why it is refused nor that a stream fell silent.
 */
export async function follow(url: string, listener: Listener, signal: AbortSignal): Promise<void> {
  let lastEventId = '';
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    let why: string | null = null;
    try {
      await read(url, lastEventId, signal, listener, (event) => {
        wait = FIRST_WAIT_MS;
        lastEventId = event.id ?? lastEventId;
        if (event.name === 'metrics') listener.metrics(JSON.parse(event.data) as MetricsAnswer);
        else if (event.name === 'failure') listener.failing();
        else listener.alive();
      });
    } catch (error) {
      if (error instanceof Refusal && error.isFinal) return listener.refused(error);
      why = error instanceof Refusal ? error.message : null;
    }
    if (signal.aborted) return;
    listener.disconnected(why);
    await rest(wait, signal);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

interface ServerEvent {
  readonly name: string;
  readonly data: string;
  readonly id: string | undefined;
}

/** Reads one stream to its end; rejects with {@link Refusal} or a network error. */
async function read(
  url: string,
  lastEventId: string,
  signal: AbortSignal,
  listener: Listener,
  take: (event: ServerEvent) => void,
): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await fetch(url, {
      headers: lastEventId === '' ? {} : { 'last-event-id': lastEventId },
      signal: AbortSignal.any([signal, silence.signal]),
      cache: 'no-store',
    });
    if (!response.ok || response.body === null) throw await refusalOf(response);
    const served = Date.parse(response.headers.get('date') ?? '');
    if (!Number.isNaN(served)) listener.clock(served - Date.now());
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const events = (text + value).split('\n\n');
      text = events.pop()!;
      for (const event of events) {
        const parsed = parse(event);
        if (parsed !== null) take(parsed);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/** One event (https://html.spec.whatwg.org/#event-stream-interpretation); null if it has no data. */
function parse(text: string): ServerEvent | null {
  const fields = new Map(
    text.split('\n').map((line) => {
      const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      return [name, value] as const;
    }),
  );
  const data = fields.get('data');
  return data === undefined
    ? null
    : { name: fields.get('event') ?? 'message', data, id: fields.get('id') };
}

function rest(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
