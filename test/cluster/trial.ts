import * as dispatcher from './dispatcher.ts';
import { imageOf } from './image.ts';
import { TOPIC } from '../../dev/stack/connector.ts';
import { apply, get, kubectl } from './kubectl.ts';
import { Pods } from './pods.ts';
import { NAMESPACE, render, type Values } from './render.ts';
import { createUsers } from './roles.ts';
import { Pipeline } from './pipeline.ts';
import { eventually, restartClock, say } from './say.ts';
import { readSettings } from './settings.ts';
import { eventsOf, Recording } from './source.ts';
import { Traces } from './traces.ts';

const SELECTOR = 'app.kubernetes.io/component=recordings';
const GROUP = 'muster-recordings';
const DEAD_LETTERS = 'recordings-dead';

/** The function in the cluster, and the services around it. */
export class Trial {
  readonly pipeline: Pipeline;
  readonly pods: Pods;
  readonly traces: Traces;
  readonly #values: Values;
  readonly #isStoodIn: boolean;
  #settingUp: Promise<void> | undefined;

  private constructor(pipeline: Pipeline, pods: Pods, values: Values, isStoodIn: boolean) {
    this.pipeline = pipeline;
    this.pods = pods;
    this.traces = new Traces(pipeline.state);
    this.#values = values;
    this.#isStoodIn = isStoodIn;
  }

  /** Starts everything outside the cluster. */
  static async start(): Promise<Trial> {
    restartClock();
    const { host, image } = readSettings(process.env);
    const reference = await imageOf(image);
    await remove(600);
    const pipeline = await Pipeline.start(host);
    await pipeline.createTopic(DEAD_LETTERS);
    const values: Values = {
      image: reference,
      host,
      kafka: pipeline.broker.address,
      databases: await createUsers(pipeline.state),
      sink: pipeline.sink.url,
      definition: 'first',
    };
    const isStoodIn = !(await dispatcher.isInstalled());
    const pods = Pods.watch(NAMESPACE, 'recordings', SELECTOR);
    return new Trial(pipeline, pods, values, isStoodIn);
  }

  /** Applies the manifests, and waits until no work is left and events flow. */
  setUp(): Promise<void> {
    return (this.#settingUp ??= this.#setUp());
  }

  async #setUp(): Promise<void> {
    await this.apply();
    await this.pods.none();
    await this.#deliver();
  }

  /** Applies the manifests like `kubectl apply -k`, and waits for the migration and for KEDA. */
  async apply(definition: Values['definition'] = 'first', isBroken = false): Promise<void> {
    const where = `--namespace=${NAMESPACE}`;
    await kubectl(['delete', 'job', 'migrate', where, '--ignore-not-found']).catch(() => {});
    const objects = await render({ ...this.#values, definition, isBroken });
    await apply(objects);
    say(`${objects.length} objects applied`);
    await kubectl(['wait', '--for=condition=complete', 'job/migrate', where, '--timeout=120s']);
    say('migrated');
    const scaled = ['--for=condition=ready', 'scaledobject/recordings', where, '--timeout=60s'];
    await kubectl(['wait', ...scaled]);
    say('ScaledObject ready');
  }

  /** Waits for Knative's dispatcher, or starts the stand-in. */
  async #deliver(): Promise<void> {
    if (this.#isStoodIn) {
      await dispatcher.standIn({ namespace: NAMESPACE, name: 'recordings' }, this.#values.image);
      say("a stand-in sends the KafkaSource's requests");
    } else {
      const source = ['--for=condition=ready', 'kafkasource/recordings', '--timeout=120s'];
      await kubectl(['wait', ...source, `--namespace=${NAMESPACE}`]);
      say('KafkaSource ready');
    }
  }

  recording(): Recording {
    return new Recording(this.pipeline.source);
  }

  lag(): Promise<number> {
    return this.pipeline.lag(GROUP);
  }

  /** Waits until every event is delivered and its offset committed. */
  async delivered(seconds = 120): Promise<void> {
    const stand = async () => ({ events: await this.pipeline.size(TOPIC), lag: await this.lag() });
    const isDone = async () => {
      const { events, lag } = await stand();
      return lag === 0 && events === (await eventsOf(this.pipeline.source));
    };
    await eventually('all events are delivered, lag 0', isDone, seconds, stand);
  }

  /** The events that were refused: dead letters, and events that were lost. */
  async refused(): Promise<{ deadLetters: number; lost: readonly string[] }> {
    const lost = this.#isStoodIn ? await dispatcher.losses() : [];
    return { deadLetters: await this.pipeline.size(DEAD_LETTERS), lost };
  }

  /** Simulates an outage of KEDA: the number of pods no longer changes. */
  async pauseScaling(isPaused: boolean): Promise<void> {
    const annotation = `autoscaling.keda.sh/paused${isPaused ? '=true' : '-'}`;
    const where = `--namespace=${NAMESPACE}`;
    await kubectl(['annotate', 'scaledobject', 'recordings', annotation, where]);
  }

  /** The conditions of the ScaledObject, for the log. */
  async conditions(): Promise<string> {
    const { status } = await get<{ status: { conditions: { type: string; status: string }[] } }>(
      'scaledobject',
      'recordings',
      `--namespace=${NAMESPACE}`,
    );
    return status.conditions.map(({ type, status: is }) => `${type} ${is}`).join(', ');
  }

  async stop(): Promise<void> {
    this.pods.stop();
    try {
      if (this.#isStoodIn) await dispatcher.endStandIn();
      await remove(120).catch(() => say('the namespace is still being deleted'));
    } finally {
      await this.pipeline.stop();
    }
  }
}

/**
 * Deletes the namespace of the tests, including one that a killed run left behind. Deleting a real
 * KafkaSource takes minutes, because its controller deletes the consumer group first. The results don't
 * depend on that, so only the next run has to wait.
 */
async function remove(seconds: number): Promise<void> {
  const what = ['delete', 'namespace', NAMESPACE, '--ignore-not-found'];
  await kubectl([...what, `--timeout=${seconds}s`]);
}
