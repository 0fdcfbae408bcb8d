import { mkdtempSync, realpathSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { databaseId } from '../../src/local/dev-server/database.ts';
import { freePort } from '../../src/local/port.ts';
import { MUSTER } from '../cli/command.ts';
import { blockOf } from '../support/blocks.ts';
import { TestProcess } from '../support/process.ts';
import { envelope } from '../support/sender.ts';
import type { TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import type { PullPipeline } from './support/pull-pipeline.ts';
import { test } from './support/test.ts';
import { lagOf } from './support/topic.ts';

const WAIT_MS = 60_000;
const KAFKA = blockOf(
  'docs/your-repository.md: npm run dev -- --kafka localhost:9092 --topic-prefix shop',
);

/** A function whose sets are complete with a row of each kind; its handler returns an event. */
const pair = (kinds: readonly string[]) => `export default {
  name: 'pair',
  parts: {
    ${kinds.map((kind) => `${kind}: { table: 'public.item', key: 'k', where: { kind: '${kind}' } },`).join('\n    ')}
  },
  handle: (set) => [{ type: 'pair.done', subject: set.key.k, data: {} }],
};
`;

/** `muster dev` in a project of its own, with the test's database. */
class DevProcess {
  readonly child: TestProcess;
  readonly file: string;

  constructor(db: TestDatabase, ports: readonly number[], args: readonly string[], env = {}) {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'muster-dev-')));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(join(folder, 'functions'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    this.file = join(folder, 'functions', 'pair.ts');
    writeFileSync(this.file, pair(['a', 'b']));
    const own = [
      '--database-url',
      db.url,
      '--port',
      `${ports[0]}`,
      '--console-port',
      `${ports[1]}`,
      '--sql',
      'tables.sql',
    ];
    const options = ['--functions', join(folder, 'functions'), 'dev', ...own];
    this.child = new TestProcess(MUSTER, [...options, ...args], { LEASE_SECONDS: '6', ...env });
    onTestFinished(() => void this.stop());
  }

  async says(text: string | RegExp): Promise<void> {
    await until(() => {
      if (this.child.hasExited) throw new Error(`it has ended:\n${this.#said}`);
      return typeof text === 'string' ? this.#said.includes(text) : text.test(this.#said);
    }, WAIT_MS).catch((error: Error) => {
      throw new Error(`${error.message}: ${String(text)}\n${this.#said}`);
    });
  }

  get #said(): string {
    return this.child.stdout + this.child.stderr;
  }

  async stop(): Promise<number | null> {
    this.child.end();
    return (await this.child.exited).code;
  }
}

/** Sends rows of these kinds of one set. */
async function send(pull: PullPipeline, key: string, kinds: readonly string[]): Promise<void> {
  await pull.send(
    kinds.map((kind, i) => {
      const id = `${key}-${kind}`;
      return { partition: i % 2, value: envelope('c', (next += 1), { id, k: key, kind }) };
    }),
  );
}
let next = 0;

const done = (key: string) => new RegExp(`event {2}.*pair\\.done.*"subject":"${key}"`);

test(
  'dev reads topics, goes on after a reload and another start, and takes nothing from another group',
  { timeout: 240_000 },
  async ({ pull }) => {
    await pull.start(2);
    const [port, consolePort] = [await freePort(), await freePort()];
    const { address } = await pull.stack.broker();
    // In production, a member of the group that the shell of the developer names, too.
    const group = `${pull.topic}-production`;
    const production = pull.another().consumer({ groupId: group });
    onTestFinished(() => production.disconnect());
    const assigned: unknown[] = [];
    const received: string[] = [];
    production.on('consumer.group_join', ({ payload }) => assigned.push(payload.memberAssignment));
    await production.connect();
    await production.subscribe({ topic: pull.topic, fromBeginning: true });
    await production.run({
      eachMessage: ({ message }) => Promise.resolve(void received.push(String(message.value))),
    });
    await until(() => assigned.length > 0, WAIT_MS);

    await send(pull, 'before', ['a', 'b']);
    await send(pull, 'split', ['a']);
    const env = { TOPIC: pull.topic, KAFKA_GROUP: group, KAFKA_BROKERS: 'nowhere:1' };
    const dev = new DevProcess(pull.db, [port, consolePort], ['--kafka', address], env);
    await dev.says('Ctrl-C ends.');
    await dev.says('tables.sql is not run: --sql is for the embedded database');
    await dev.says(done('before'));

    // The console explains what came from Kafka, and events can be posted, too.
    const set = `http://127.0.0.1:${consolePort}/api/functions/pair/set?key=split`;
    await until(async () => {
      const { missing } = (await (await fetch(set)).json()) as { missing: string[] };
      return missing.join() === 'b';
    }, WAIT_MS);
    const posted = await fetch(`http://127.0.0.1:${consolePort}/_send/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        message: envelope('c', (next += 1), { id: 'split-b', k: 'split', kind: 'b' }),
      }),
    });
    expect(await posted.json()).toMatchObject({ status: 200, outcome: 'ingested' });
    await dev.says(done('split'));

    // A changed rule: what was read before still counts, and the topic is read on.
    await send(pull, 'over', ['a']);
    writeFileSync(dev.file, pair(['a', 'b', 'c']));
    await dev.says('reloaded: pair');
    await send(pull, 'over', ['b', 'c']);
    await dev.says(done('over'));
    expect(await dev.stop()).toBe(0);

    // The next start on the database continues where the last one ended.
    const own = `muster-dev-${await databaseId(pull.db.url)}-pair`;
    expect(await lagOf(pull.kafka, pull.topic, own)).toBe(0n);
    await send(pull, 'later', ['a', 'b', 'c']);
    const again = new DevProcess(pull.db, [port, consolePort], ['--kafka', address], env);
    writeFileSync(again.file, pair(['a', 'b', 'c']));
    await again.says(done('later'));
    expect(await again.stop()).toBe(0);

    await until(() => received.length === 9, WAIT_MS);
    expect(assigned).toEqual([{ [pull.topic]: [0, 1] }]); // once: nobody else joined its group
  },
);

test(
  'dev names a topic that does not exist, and goes on when it does',
  { timeout: 120_000 },
  async ({ pull }) => {
    await pull.start(2);
    const { address } = await pull.stack.broker();
    const prefix = pull.topic;
    const line = KAFKA.trim().replace('localhost:9092', address).replace(/shop$/, prefix);
    const args = line.slice(line.indexOf('--kafka')).split(' ');
    const dev = new DevProcess(pull.db, [await freePort(), await freePort()], args);
    await dev.says(`there is no topic ${prefix}.public.item at ${address} yet; waiting for it`);
    await pull.admin.createTopics({
      topics: [{ topic: `${prefix}.public.item`, numPartitions: 1 }],
      waitForLeaders: true,
    });
    const producer = pull.kafka.producer();
    await producer.connect();
    await producer.send({
      topic: `${prefix}.public.item`,
      messages: ['a', 'b'].map((kind, i) => ({
        value: envelope('c', i + 1, { id: kind, k: 'first', kind }),
      })),
    });
    await producer.disconnect();
    await dev.says(done('first'));
    expect(await dev.stop()).toBe(0);
  },
);

test('dev ends if the brokers do not answer, or if the topics of a table are not named', async ({
  pull,
}) => {
  const ports = [await freePort(), await freePort()];
  const away = new DevProcess(pull.db, ports, ['--kafka', '127.0.0.1:1', '--topic-prefix', 'x']);
  expect(await away.child.exited).toMatchObject({ code: 1 });
  expect(away.child.stderr).toMatch(
    /^muster: the brokers of --kafka can't be used: .*ECONNREFUSED/,
  );
  const { address } = await pull.stack.broker();
  const unnamed = new DevProcess(pull.db, ports, ['--kafka', address]);
  expect(await unnamed.child.exited).toMatchObject({ code: 1 });
  expect(unnamed.child.stderr).toContain('the topics of public.item are not named. Start again');
});
