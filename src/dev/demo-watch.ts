import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Processed,
  ProcessedFeed,
  type SetCounts,
  type Summary,
  countSets,
  logEnd,
  summarise,
} from './demo-numbers.ts';
import type { DemoParts } from './demo-parts.ts';
import { logIn } from './function-process.ts';
import type { Screen } from './screen.ts';
import type { StopRequest } from './stop-request.ts';

/** How often the sets are counted for the status line, in milliseconds. */
const COUNT_INTERVAL = 500;
/** After so many milliseconds with lag and no delivery the status says where to look. */
const STUCK = 5_000;
/** How long what is under way may take at the end, in milliseconds. */
const SETTLE = 60_000;

/** Shows what happens in the demo. */
export class Watch {
  readonly #parts: DemoParts;
  readonly #screen: Screen;
  readonly #stop: StopRequest;
  readonly #feed: ProcessedFeed;
  #processed = 0;
  #toldHow = false;
  #counts: SetCounts | undefined;
  #countedAt = Date.now();
  #deliveredThen: number;
  #movedAt = Date.now();

  private constructor(parts: DemoParts, screen: Screen, stop: StopRequest, feed: ProcessedFeed) {
    this.#parts = parts;
    this.#screen = screen;
    this.#stop = stop;
    this.#feed = feed;
    this.#deliveredThen = parts.courier.delivered;
  }

  static async start(parts: DemoParts, screen: Screen, stop: StopRequest): Promise<Watch> {
    return new Watch(parts, screen, stop, await ProcessedFeed.from(parts.client));
  }

  /** Until so many spans are processed, or somebody asks to stop. */
  async until(enough: number): Promise<void> {
    while (!this.#stop.isAsked && this.#processed < enough) {
      await this.#show(COUNT_INTERVAL);
      await Promise.race([sleep(100), this.#stop.asked, this.#parts.broken]);
    }
  }

  /** Stops the headbands, waits until nothing is under way any more, and compares with the table. */
  async settle(): Promise<Summary> {
    const { client, wal, headband, travelers, broken } = this.#parts;
    await Promise.all([headband.stop(), travelers?.stop()]);
    this.#screen.line(
      'Headbands and sensors stopped; waiting for what is under way (Ctrl-C: end at once).',
    );
    let delivered = false;
    void wal.caughtUp(await logEnd(client)).then(() => (delivered = true));
    for (const deadline = Date.now() + SETTLE; Date.now() < deadline;) {
      const mayBeLast = delivered;
      const { complete, running } = await this.#show(0);
      if (mayBeLast && complete + running === 0) break;
      await Promise.race([sleep(100), this.#stop.pressed, broken]);
    }
    await this.#show(0);
    return summarise(client);
  }

  async #show(countInterval: number): Promise<SetCounts> {
    const { client, wal, courier, travelers, folder } = this.#parts;
    for (const effect of await this.#feed.next()) {
      this.#processed += 1;
      this.#screen.line(describe(effect));
    }
    if (!this.#toldHow && courier.curl && this.#processed > 0) {
      this.#toldHow = true;
      this.#screen.line(
        `\nSend an event by hand, and see what Muster knows of its set:\n${courier.curl}\n`,
      );
    }
    const since = Date.now() - this.#countedAt;
    if (this.#counts && since < countInterval) return this.#counts;

    this.#counts = await countSets(client);
    const rate = Math.round(
      ((courier.delivered - this.#deliveredThen) * 1000) / Math.max(since, 1),
    );
    this.#countedAt = Date.now();
    if (courier.delivered > this.#deliveredThen || wal.lag === 0) this.#movedAt = Date.now();
    this.#deliveredThen = courier.delivered;
    const stuck =
      Date.now() - this.#movedAt > STUCK ? `, nothing gets through: see ${logIn(folder)}` : '';
    const records = travelers === undefined ? '' : `, ${travelers.records} movements`;
    this.#screen.status(`${statusLine(this.#counts, rate, wal.lag)}${records}${stuck}`);
    return this.#counts;
  }
}

function statusLine(
  { waiting, complete, running, done, failed, overdue }: SetCounts,
  rate: number,
  lag: number,
): string {
  const sets = `waiting ${waiting}  complete ${complete + running}  done ${done}  overdue ${overdue}`;
  return `${sets}${failed > 0 ? `  failed ${failed}` : ''} | ${rate} events/s  lag ${lag}`;
}

function describe({ recording, span }: Processed): string {
  const [, from, to] = /^\[(\d+),(\d+)\)$/.exec(span) ?? [];
  const seconds = from && to ? `${Number(from) / 1e9}–${Number(to) / 1e9} s` : span;
  return `processed  ${recording}  ${seconds}`;
}
