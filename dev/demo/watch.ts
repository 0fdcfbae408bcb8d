import { setTimeout as sleep } from 'node:timers/promises';
import {
  OverdueFeed,
  ProcessedFeed,
  type SetCounts,
  type Summary,
  countSets,
  logEnd,
  summarise,
} from './numbers.ts';
import type { DemoParts } from './parts.ts';
import { overdueHelp, overdueLine, processedLine, statusLine } from './printed-text.ts';
import { logIn } from './function-process.ts';
import type { Screen } from './screen.ts';
import type { StopRequest } from './stop-request.ts';

/** The interval at which sets are counted for the status line, in milliseconds. */
const COUNT_INTERVAL = 500;
/** With lag and no delivery for this time, in milliseconds, the status names the log to look at. */
const STUCK = 5_000;
/** How long to wait at the end for outstanding work, in milliseconds. */
const IDLE_LIMIT_MS = 60_000;

interface Feeds {
  readonly processed: ProcessedFeed;
  readonly overdue: OverdueFeed;
}

/** Prints the demo's progress. */
export class Watch {
  readonly #parts: DemoParts;
  readonly #screen: Screen;
  readonly #stop: StopRequest;
  readonly #feeds: Feeds;
  #processed = 0;
  #overdue = 0;
  #counts: SetCounts | undefined;
  #countedAt = Date.now();
  #deliveredThen: number;
  #movedAt = Date.now();

  private constructor(parts: DemoParts, screen: Screen, stop: StopRequest, feeds: Feeds) {
    this.#parts = parts;
    this.#screen = screen;
    this.#stop = stop;
    this.#feeds = feeds;
    this.#deliveredThen = parts.pipeline.delivered;
  }

  static async start(parts: DemoParts, screen: Screen, stop: StopRequest): Promise<Watch> {
    const { client } = parts;
    const processed = await ProcessedFeed.from(client);
    return new Watch(parts, screen, stop, { processed, overdue: await OverdueFeed.from(client) });
  }

  /** Runs until enough spans are processed and one set was overdue, or until a stop is requested. */
  async until(enough: number): Promise<void> {
    while (!this.#stop.isRequested && (this.#processed < enough || this.#overdue === 0)) {
      await this.#show(COUNT_INTERVAL);
      await Promise.race([sleep(100), this.#stop.requested, this.#parts.broken]);
    }
  }

  /** Stops the headbands, waits until no work is outstanding, and compares with the table. */
  async untilIdle(): Promise<{ summary: Summary; counts: SetCounts }> {
    const { client, pipeline, headband, travelers, broken } = this.#parts;
    await Promise.all([headband.stop(), travelers?.stop()]);
    this.#screen.line(
      '\nThe headbands and sensors have stopped. Waiting for outstanding events (Ctrl-C stops immediately).',
    );
    let delivered = false;
    const caughtUp = pipeline.caughtUp(await logEnd(client)).then(() => void (delivered = true));
    caughtUp.catch(() => {}); // reported below
    for (const deadline = Date.now() + IDLE_LIMIT_MS; Date.now() < deadline;) {
      const mayBeLast = delivered;
      const { complete, running } = await this.#show(0);
      if (mayBeLast && complete + running === 0) break;
      const next = caughtUp.then(() => sleep(100));
      await Promise.race([sleep(100), next, this.#stop.forced, broken]);
    }
    const counts = await this.#show(0);
    return { summary: await summarise(client), counts };
  }

  async #show(countInterval: number): Promise<SetCounts> {
    const { client, pipeline, travelers, folder, pages } = this.#parts;
    for (const effect of await this.#feeds.processed.next()) {
      this.#processed += 1;
      this.#screen.line(processedLine(effect));
    }
    const since = Date.now() - this.#countedAt;
    if (this.#counts && since < countInterval) return this.#counts;

    for (const set of await this.#feeds.overdue.next()) {
      this.#screen.line(overdueLine(set));
      if (this.#overdue++ === 0) this.#screen.line(overdueHelp(set, this.#parts));
    }
    this.#counts = await countSets(client);
    const rate = Math.round(
      ((pipeline.delivered - this.#deliveredThen) * 1000) / Math.max(since, 1),
    );
    this.#countedAt = Date.now();
    if (pipeline.delivered > this.#deliveredThen || pipeline.lag === 0) this.#movedAt = Date.now();
    this.#deliveredThen = pipeline.delivered;
    const stuck =
      Date.now() - this.#movedAt > STUCK
        ? `no event delivered for ${STUCK / 1000} s, see ${logIn(folder)} | `
        : '';
    const now = { pages, rate, lag: pipeline.lag, movements: travelers?.records };
    this.#screen.status(`${stuck}${statusLine(this.#counts, now)}`);
    return this.#counts;
  }
}
