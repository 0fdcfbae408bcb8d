import type { MetricsAnswer } from '../api-answers.ts';
import { ApiError, apiErrorOf } from './api.ts';

/** Time without an event after which the stream is considered broken; the server sends a heartbeat every 10 s. */
const SILENCE_MS = 25_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

/** Receives what happens on a stream. */
export interface Listener {
  /** The server's clock is ahead of the browser's by this number of milliseconds; negative if it is behind. */
  clock(aheadMs: number): void;
  /** There are new or changed windows. */
  metrics(answer: MetricsAnswer): void;
  /** A heartbeat was received. */
  alive(): void;
  /** The server cannot read the numbers. */
  failing(): void;
  /** The stream has ended, and is retried after a delay. `why` is the error that the server returned, if any. */
  disconnected(why: string | null): void;
  /** The server rejected the request, which is not retried. */
  rejected(error: ApiError): void;
}

/**
 * Follows a stream of server-sent events until `signal` aborts, and reconnects if necessary. It uses `fetch` instead of
 * `EventSource`, which reports neither why a request was rejected nor that a stream has become silent.
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
      if (error instanceof ApiError && error.isFinal) return listener.rejected(error);
      why = error instanceof ApiError ? error.message : null;
    }
    if (signal.aborted) return;
    listener.disconnected(why);
    await sleep(wait, signal);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

interface ServerEvent {
  readonly name: string;
  readonly data: string;
  readonly id: string | undefined;
}

/** Reads one stream to its end; rejects with an {@link ApiError} or a network error. */
async function read(
  url: string,
  lastEventId: string,
  signal: AbortSignal,
  listener: Listener,
  onEvent: (event: ServerEvent) => void,
): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await fetch(url, {
      headers: lastEventId === '' ? {} : { 'last-event-id': lastEventId },
      signal: AbortSignal.any([signal, silence.signal]),
      cache: 'no-store',
    });
    if (!response.ok || response.body === null) throw await apiErrorOf(response);
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
        if (parsed !== null) onEvent(parsed);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Parses an event (https://html.spec.whatwg.org/#event-stream-interpretation); returns null if it has no data. */
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

/** Resolves after a delay, or earlier if `signal` aborts. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
