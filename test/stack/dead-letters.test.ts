import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { TestProcess } from '../support/process.ts';
import { until } from '../support/until.ts';
import { Proxy } from './support/proxy.ts';
import { test } from './support/test.ts';

const MUSTER = fileURLToPath(new URL('../../src/cli/muster.ts', import.meta.url));

test(
  'events that outlast their retries while PostgreSQL is down are dead-lettered, and processed once redelivered',
  {
    timeout: 90_000,
  },
  async ({ pipeline }) => {
    const url = new URL(pipeline.db.url);
    const proxy = await Proxy.to(Number(url.port));
    url.port = String(proxy.port);
    const dead = `${pipeline.name}.dead`;
    await pipeline.prepare(url.href);
    const broker = await pipeline.stack.broker();
    await broker.createTopic(dead, 2);
    const [source] = await Promise.all([
      pipeline.startSource({
        deadLetterSink: `kafka:${dead}`,
        delivery: { retry: 3, backoffPolicy: 'linear', backoffDelay: 20, timeout: 5_000 },
      }),
      pipeline.stack.connect().then((worker) => pipeline.addConnector(worker)),
    ]);
    const [half, other] = pipeline.pair();
    await pipeline.insert(...pipeline.pair(), half);
    await pipeline.processed(1);

    proxy.cut();
    const signals = [other, ...Array.from({ length: 20 }, () => pipeline.pair()).flat()];
    await pipeline.insert(...signals);
    await until(() => source.counts.deadLettered === signals.length, 30_000);
    proxy.repair();
    expect(await pipeline.settled()).toMatchObject({ processed: 2, missing: 21 });

    const redeliver = new TestProcess(
      MUSTER,
      ['redeliver', '--dead-letters', dead, '--brokers', broker.address, '--to', pipeline.url],
      {},
    );
    expect([await redeliver.exited, redeliver.stdout]).toEqual([
      { code: 0, signal: null },
      `${signals.length} redelivered\n`,
    ]);
    expect(await pipeline.settled()).toMatchObject({ processed: 24, twice: 0, missing: 0 });
    expect(source.counts.lost).toBe(0);
    proxy.close();
  },
);
