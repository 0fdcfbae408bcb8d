import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { TestProcess } from '../support/process.ts';
import { until } from '../support/until.ts';
import { Proxy } from './support/proxy.ts';
import { test } from './support/test.ts';

const MUSTER = fileURLToPath(new URL('../../src/cli/muster.ts', import.meta.url));

test(
  'what PostgreSQL was away for too long is dead-lettered, and processed once redelivered',
  {
    timeout: 90_000,
  },
  async ({ road }) => {
    const url = new URL(road.db.url);
    const proxy = await Proxy.to(Number(url.port));
    url.port = String(proxy.port);
    const dead = `${road.name}.dead`;
    await road.prepare(url.href);
    const broker = await road.stack.broker();
    await broker.createTopic(dead, 2);
    const [source] = await Promise.all([
      road.startSource({
        deadLetterSink: `kafka:${dead}`,
        delivery: { retry: 3, backoffPolicy: 'linear', backoffDelay: 20, timeout: 5_000 },
      }),
      road.stack.connect().then((worker) => road.addConnector(worker)),
    ]);
    const [half, other] = road.pair();
    await road.insert(...road.pair(), half);
    await road.processed(1);

    proxy.cut();
    const signals = [other, ...Array.from({ length: 20 }, () => road.pair()).flat()];
    await road.insert(...signals);
    await until(() => source.counts.deadLettered === signals.length, 30_000);
    proxy.mend();
    expect(await road.settled()).toMatchObject({ processed: 2, missing: 21 });

    const redeliver = new TestProcess(
      MUSTER,
      ['redeliver', '--dead-letters', dead, '--brokers', broker.address, '--to', road.url],
      {},
    );
    expect([await redeliver.exited, redeliver.stdout]).toEqual([
      { code: 0, signal: null },
      `${signals.length} redelivered\n`,
    ]);
    expect(await road.settled()).toMatchObject({ processed: 24, twice: 0, missing: 0 });
    expect(source.counts.lost).toBe(0);
    proxy.close();
  },
);
