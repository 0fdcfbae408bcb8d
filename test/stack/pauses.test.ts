import { fileURLToPath } from 'node:url';
import type { Admin, Kafka } from 'kafkajs';
import { pino } from 'pino';
import { expect, onTestFinished } from 'vitest';
import { ChangeHandler } from '../../src/intake/kafka/change-handler.ts';
import type { RecordHandler } from '../../src/intake/kafka/record-handler.ts';
import { KafkaIntake } from '../../src/intake/kafka/intake.ts';
import { ProjectionHandler } from '../../src/intake/kafka/projection-handler.ts';
import { EventIngestor } from '../../src/intake/ingest.ts';
import { extend } from '../../src/kafka/protocol.ts';
import type { LostRecords } from '../../src/state/projections/positions.ts';
import { Recorder } from '../intake/server.ts';
import { chunkOf, feedOn } from '../support/feed.ts';
import { numbers } from '../support/numbers.ts';
import { until } from '../support/until.ts';
import { assignedTo, type PullPipeline } from './support/pull-pipeline.ts';
import { test } from './support/test.ts';

const LIMIT = { timeout: 120_000 };
const PULL = fileURLToPath(new URL('support/pull.ts', import.meta.url));

/** Records fed by hand have timestamps that differ from those in the topic. */
const UNSTAMPED = 'update muster.position set last_timestamp = null';

/** Actions to run between a request of the admin client and its answer, or before the request. */
interface Gates {
  readonly afterEnds?: () => Promise<void>;
  readonly committed?: () => Promise<string | null>;
}

/** Consumes the topic in this process; each gate opens once. */
function reading(pull: PullPipeline, handler: RecordHandler, gates: Gates) {
  const begun: number[] = [];
  const connect = (): Kafka => {
    const kafka = extend(pull.another());
    const make = kafka.admin.bind(kafka);
    kafka.admin = (config) => gated(make(config), gates);
    return kafka;
  };
  const intake = new KafkaIntake({
    connect,
    handler,
    group: pull.group,
    queueBytes: 1e7,
    sessionTimeoutMs: 10_000,
    drainMs: 5_000,
    log: pino({ enabled: false }),
    onTaken: ({ from }) => void begun.push(from),
    onLag() {},
  });
  onTestFinished(() => intake.stop());
  return { intake, begun };
}

function gated(admin: Admin, { afterEnds, committed }: Gates): Admin {
  const ends = admin.fetchTopicOffsets.bind(admin);
  const offsets = admin.fetchOffsets.bind(admin);
  let isOpen = false;
  admin.fetchTopicOffsets = async (topic) => {
    const answer = await ends(topic);
    // Before the wait: the watch asks again after a second, while this request may still be held.
    const isFirst = !isOpen;
    isOpen = true;
    if (isFirst) await afterEnds?.();
    return answer;
  };
  let isAsked = false;
  admin.fetchOffsets = async (question) => {
    const [answer] = await offsets(question);
    const isFirst = !isAsked;
    isAsked = true;
    const offset = isFirst ? await committed?.() : null;
    if (offset == null) return [answer!];
    const partitions = answer!.partitions.map((each) => ({ ...each, offset }));
    return [{ ...answer!, partitions }];
  };
  return admin;
}

test(
  'a projection continues although its process paused between reading the ends of the topic and its positions',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    const definition = numbers({ topic: pull.topic }) as never;
    const feed = await feedOn(pull.db, definition);
    await pull.produce(2, 1);
    await feed.apply(chunkOf(0, [{ n: 1 }, { n: 2 }], { topic: pull.topic }));
    await pull.db.query(UNSTAMPED);
    const handler = new ProjectionHandler(
      feed.database,
      1,
      { id: feed.id, definition },
      pino({ enabled: false }),
      { onLost() {}, onGone() {}, onParked() {} },
    );
    let paused = 0;
    const { intake } = reading(pull, handler, {
      async afterEnds() {
        paused++;
        await pull.produce(2, 1);
        await feed.apply(chunkOf(2, [{ n: 1 }, { n: 2 }], { topic: pull.topic }));
        await pull.db.query(UNSTAMPED);
      },
    });
    await until(() => paused === 1 && intake.trouble === null);
    await pull.produce(1, 1);
    await pull.until(5);
    expect(paused).toBe(1);
    expect(await pull.folded()).toEqual(pull.produced);
    expect(await pull.db.query('select problem from muster.position')).toEqual([{ problem: null }]);
  },
);

test(
  'changes are not read again if another member commits while a process reads the ends of the topic',
  LIMIT,
  async ({ pull }) => {
    await pull.start(1);
    await pull.produce(2, 1);
    const place = { name: 'pair', topics: [pull.topic] };
    const recorder = new Recorder();
    const handler = new ChangeHandler(
      place,
      new EventIngestor(recorder, () => {}),
      {} as LostRecords,
      pino({ enabled: false }),
      () => {},
    );
    let asked = false;
    const { intake, begun } = reading(pull, handler, {
      // as another member has just committed it
      async committed() {
        await pull.produce(2, 1);
        asked = true;
        return '4';
      },
    });
    await until(() => asked && intake.trouble === null);
    await pull.produce(1, 1);
    await until(() => begun.length > 0);
    expect(begun).toEqual([4]);
    expect(recorder.parked).toHaveLength(1);
    // the metadata identify the topic of the offset
    const { admin, group: groupId, topic } = pull;
    await until(async () => {
      const [group] = await admin.fetchOffsets({ groupId, topics: [topic] });
      return /^topic=[0-9a-f]{32}$/.test(group!.partitions[0]!.metadata ?? '');
    });
  },
);

test(
  'partitions continue, whichever process is frozen during a rebalance',
  LIMIT,
  async ({ pull }) => {
    await pull.start(6);
    const producing = new AbortController();
    const produced = (async () => {
      while (!producing.signal.aborted) await pull.produce(500, 6);
    })();
    const frozen = await pull.serve({}, PULL);
    await until(() => assignedTo(frozen)?.length === 6, 30_000);
    const others = [await pull.serve({}, PULL), await pull.serve({}, PULL)];
    // while it is being assigned its partitions
    await until(() => frozen.log.filter(({ msg }) => msg === 'partitions assigned').length > 1);
    frozen.kill('SIGSTOP');
    const all = () => new Set(others.flatMap((each) => assignedTo(each) ?? []));
    await until(() => all().size === 6, 30_000);
    for (const other of others) await pull.appliedBy(other);
    frozen.kill('SIGCONT');
    await until(() => (assignedTo(frozen)?.length ?? 6) < 6, 30_000);
    producing.abort();
    await produced;
    await pull.until(pull.produced.records);
    expect(await pull.folded()).toEqual(pull.produced);
    expect(await pull.db.query('select from muster.position where problem is not null')).toEqual(
      [],
    );
  },
);

test(
  'the other partitions of a topic that is recreated with fewer partitions are forgotten, and reported',
  LIMIT,
  async ({ pull }) => {
    await pull.start(3);
    await pull.produce(30, 3);
    const process = await pull.serve();
    await pull.until(30);
    await pull.remake(1);
    await until(
      async () => (await pull.db.query('select from muster.position')).length === 1,
      60_000,
    );
    expect(await pull.metric(process, 'muster_partitions_gone_total')).toBe(2);
    const said = process.log.filter(({ msg }) => /recreated without this/.test(String(msg)));
    expect(new Set(said.map((line) => line['partition']))).toEqual(new Set([1, 2]));
    await pull.muster('seek', 'numbers', '0', '0');
    await pull.produce(10, 1);
    await pull.until(40);
    expect(await pull.folded()).toEqual(pull.produced);
  },
);
