import type { Readable } from 'node:stream';
import { BadField } from '../../../src/console/plugin.ts';
import type { Log } from '../../../src/function.ts';
import type { Newest } from '../query/state.ts';
import { keyOf } from './cache.ts';
import { Channel, type Numbers } from './channel.ts';
import type { Selection } from './query.ts';
import { toEvent } from './stream.ts';

export interface LiveOptions extends Numbers {
  readonly newest: () => Promise<Newest>;
  readonly log: Log;
  /** How often is looked; 1 s unless given. */
  readonly everyMs?: number;
  /** How often everybody is sent a sign of life; 10 s unless given. */
  readonly heartbeatMs?: number;
}

/** Windows so old are sent although nothing was heard: a silent sensor shows as a gap. */
const SILENCE_MS = 10_000;
const HEARTBEAT = toEvent('heartbeat', {});
const FAILURE = toEvent('failure', { error: 'the database does not answer', reason: 'database' });

/**
 * Streams windows as they come and change. However many readers there are, one look every second tells
 * whether there is anything new, and what is new is read once for all who watch the same numbers. While
 * nobody watches, nobody looks.
 */
export class Live {
  readonly #options: LiveOptions;
  readonly #channels = new Map<string, Channel>();
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #isStopped = false;
  #beatAt = 0;
  #isFailing = false;

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  /** Streams under way. */
  get readers(): number {
    return [...this.#channels.values()].reduce((sum, channel) => sum + channel.readers, 0);
  }

  /** A reader who wants the windows from `first` on; the first event has those there are. */
  open(selection: Selection, first: number): Readable {
    const key = channelOf(selection, first);
    const channel = this.#channels.get(key) ?? new Channel(selection);
    this.#channels.set(key, channel);
    const body = channel.join(first, () => {
      if (channel.readers === 0 && this.#channels.get(key) === channel) this.#channels.delete(key);
    });
    if (this.#isStopped) channel.end();
    else this.#schedule(0);
    return body;
  }

  /** Are these numbers being watched? */
  has(selection: Selection, first: number): boolean {
    return this.#channels.has(channelOf(selection, first));
  }

  /** Ends all streams; their readers come back to whoever serves then. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const channel of this.#channels.values()) channel.end();
  }

  #schedule(afterMs: number): void {
    if (this.#isLooking || this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), afterMs);
  }

  /** What a channel asks may have become too old to be answered: its readers come back, and are told so. */
  async #update(channel: Channel, version: string, to: number): Promise<number> {
    try {
      return await channel.update(this.#options, version, to);
    } catch (error) {
      if (!(error instanceof BadField)) throw error;
      channel.end();
      return 0;
    }
  }

  async #look(): Promise<void> {
    const { everyMs = 1000, heartbeatMs = 10_000, log } = this.#options;
    this.#isLooking = true;
    const now = Date.now();
    let dropped = 0;
    let event = HEARTBEAT;
    try {
      const { newest, version } = await this.#options.newest();
      const to = Math.min(now, Math.max(newest ?? 0, now - SILENCE_MS));
      for (const channel of this.#channels.values()) {
        dropped += await this.#update(channel, version, to);
      }
    } catch (error) {
      event = FAILURE;
      log.warn({ error: String(error) }, 'live numbers could not be read, trying again');
    }
    const isFailing = event === FAILURE;
    if (isFailing || this.#isFailing || now - this.#beatAt >= heartbeatMs) {
      this.#beatAt = now;
      for (const channel of this.#channels.values()) dropped += channel.tell(event);
    }
    this.#isFailing = isFailing;
    if (dropped > 0) {
      log.warn({}, `${dropped} readers of live numbers did not read, and were cut off`);
    }
    this.#isLooking = false;
    const isAwaited = [...this.#channels.values()].some((channel) => channel.isAwaited);
    if (this.#channels.size > 0) this.#schedule(isAwaited && !isFailing ? 0 : everyMs);
  }
}

/** Who is sent the same events. */
function channelOf(selection: Selection, first: number): string {
  return `${keyOf(selection)} ${first % selection.step} ${selection.zone.name}`;
}
