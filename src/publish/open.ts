import type { Config } from '../config.ts';
import type { Log } from '../function.ts';
import { httpSink, stdoutSink, type Sink } from './sink.ts';

/** Where outgoing events go, as configured. Connects to nothing yet. */
export async function openSink(config: Config, log: Log): Promise<Sink> {
  const extensions = config.K_CE_OVERRIDES ?? {};
  if (config.SINK_TOPIC !== null) {
    const [{ connectKafka }, { KafkaSink, RETRY }] = await Promise.all([
      import('../kafka.ts'),
      import('./kafka.ts'),
    ]);
    return new KafkaSink(connectKafka(config, log, RETRY), config.SINK_TOPIC, extensions);
  }
  return config.K_SINK === null ? stdoutSink(extensions) : httpSink(config.K_SINK, extensions);
}
