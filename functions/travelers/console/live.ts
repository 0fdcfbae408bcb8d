import type { Readable } from 'node:stream';
import { BadField } from 'musterjs/console';
import type { Log } from 'musterjs';
import type { Newest } from '../query/state.ts';
import { keyOf } from './cache.ts';
import { Channel, type Numbers } from './channel.ts';
import type { Selection } from './query.ts';
import { toEvent } from './stream.ts';

export interface LiveOptions extends Numbers {
  readonly newest: () => Promise<Newest>;
  readonly log: Log;
  /** Time between checks for new numbers; 1 s by default. */
  readonly everyMs?: number;
  /** Time between heartbeats; 10 s by default. */
  readonly heartbeatMs?: number;
}

/** Windows older than this are sent even if no sensor was heard, so that silent sensors appear as a gap. */
const SILENCE_MS = 10_000;
const HEARTBEAT = toEvent('heartbeat', {});
const FAILURE = toEvent('failure', { error: 'the database does not answer', reason: 'database' });

/**
 * Streams new and changed windows. Regardless of the number of readers, the database is checked for new numbers
 * once per second, and new numbers are read once for all readers that watch the same ones. Without readers, the
 * database is not queried.
 */
export class Live {
  readonly #options: LiveOptions;
  readonly #channels = new Map<string, Channel>();
  #timer: NodeJS.Timeout | undefined;
  #isPolling = false;
  #isStopped = false;
  #beatAt = 0;
  #isFailing = false;

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  /** Number of open streams. */
  get readers(): number {
    return [...this.#channels.values()].reduce((sum, channel) => sum + channel.readers, 0);
  }

  /** Opens a stream of the windows from the one that ends at `first`; the first event has all that exist. */
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

  /** Whether another reader watches these numbers. */
  has(selection: Selection, first: number): boolean {
    return this.#channels.has(channelOf(selection, first));
  }

  /** Ends all streams; their readers reconnect, to another process if there is one. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const channel of this.#channels.values()) channel.end();
  }

  #schedule(afterMs: number): void {
    if (this.#isPolling || this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#poll(), afterMs);
  }

  /**
   * Updates a channel. If its query has become invalid because its windows are too old, its streams end: their
   * readers reconnect, and are then told why.
   */
  async #update(channel: Channel, version: string, to: number): Promise<number> {
    try {
      return await channel.update(this.#options, version, to);
    } catch (error) {
      if (!(error instanceof BadField)) throw error;
      channel.end();
      return 0;
    }
  }

  async #poll(): Promise<void> {
    const { everyMs = 1000, heartbeatMs = 10_000, log } = this.#options;
    this.#isPolling = true;
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
      log.warn({ error: String(error) }, 'live numbers could not be read; retrying');
    }
    const isFailing = event === FAILURE;
    if (isFailing || this.#isFailing || now - this.#beatAt >= heartbeatMs) {
      this.#beatAt = now;
      for (const channel of this.#channels.values()) dropped += channel.broadcast(event);
    }
    this.#isFailing = isFailing;
    if (dropped > 0) {
      log.warn({}, `disconnected ${dropped} clients that did not read their live streams`);
    }
    this.#isPolling = false;
    const isAwaited = [...this.#channels.values()].some((channel) => channel.isAwaited);
    if (this.#channels.size > 0) this.#schedule(isAwaited && !isFailing ? 0 : everyMs);
  }
}

/** Returns the key of a channel, whose readers are all sent the same events. */
function channelOf(selection: Selection, first: number): string {
  return `${keyOf(selection)} ${first % selection.step} ${selection.zone.name}`;
}
