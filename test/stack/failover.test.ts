import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { connection, SIGNAL_TABLE } from '../../dev/stack/connector.ts';
import { failover } from '../../src/doctor/source/failover.ts';
import { TRACES } from '../chaos/functions.ts';
import { compare, load, sourceOf } from '../chaos/reading.ts';
import { applyRemedies, sourceOf as examined } from '../doctor/examination.ts';
import { TestProcess } from '../support/process.ts';
import { readyToFailOver, replicatedSource } from '../support/replicated-source.ts';
import { until } from '../support/until.ts';
import { test } from './support/test.ts';

const SERVE = fileURLToPath(new URL('../chaos/serve.ts', import.meta.url));

test(
  'PostgreSQL fails over under load, and a connector with slot.failover goes on: nothing is lost, nothing runs twice',
  { timeout: 240_000 },
  async ({ pipeline, db }) => {
    const { name, stack } = pipeline;
    const source = await replicatedSource();
    const { primary, survivor, address } = source;
    await sourceOf(primary);
    await primary.query(SIGNAL_TABLE);
    await db.query(TRACES);
    const fn = new TestProcess(SERVE, [], {
      DATABASE_URL: db.url,
      HOST: '127.0.0.1',
      PORT: '0',
      SINK: 'stdout',
    });
    onTestFinished(async () => {
      fn.kill('SIGKILL');
      await fn.exited;
    });
    const { url } = await fn.serving();
    const topic = `${name}.public.item`;
    await (await stack.broker()).createTopic(topic, 3);
    await pipeline.startSource({ topics: [topic], sink: url });
    const config = {
      ...connection(address.url),
      'table.include.list': 'public.item',
      'column.exclude.list': '',
      'retriable.restart.connector.wait.ms': '500',
    };
    const connect = await pipeline.ownConnect(config);
    const before = await examined(primary, [], { slot: name });
    const [uncopied] = await failover.run(before);
    expect(uncopied!.message).toBe(
      `${name} is not copied to standbys: after a failover it reads every row again, and rows deleted in between stay in their sets`,
    );
    const [command] = uncopied!.remedy!.split('   # ');
    await connect.kill();
    execFileSync('sh', ['-c', command!.replace('<source url>', primary.url)], { stdio: 'pipe' });
    connect.configure(pipeline.connector({ ...config, 'slot.failover': 'true' }));
    await connect.restart();
    await readyToFailOver(source, before);

    const writing = load(address);
    await until(async () => (await compare(primary, db)).done > 50, 30_000);
    await source.kill();
    await until(() => writing.lost > 0);
    await source.promote();
    // the new primary waits for a standby, too, and has none yet
    const after = await examined(survivor, [], { slot: name });
    await applyRemedies(failover, after, survivor);
    const goal = writing.sets + 100;
    await until(() => writing.sets > goal, 30_000);
    const sets = await writing.stop();

    await until(async () => (await compare(survivor, db)).lost === 0, 60_000);
    const { done, ...faults } = await compare(survivor, db);
    expect(faults).toEqual({ lost: 0, twice: 0 });
    expect(done).toBeGreaterThanOrEqual(sets);
    expect(await db.query('select reason, detail from muster.parked')).toEqual([]);
  },
);
