import type { Config } from '../config/config.ts';
import type { Log } from '../function.ts';
import { httpSink } from './http-sink.ts';
import type { Sink } from './sink.ts';
import { stdoutSink } from './stdout-sink.ts';

/**
 * Opens the configured sink without connecting to it. Returns null if none is configured, so that events wait: a
 * pod may start before its SinkBinding is resolved, or run after it is deleted.
 */
export async function openSink(config: Config, log: Log): Promise<Sink | null> {
  const extensions = config.K_CE_OVERRIDES ?? {};
  if (config.SINK_TOPIC !== null) {
    const [{ connectKafka }, { KafkaSink, RETRY }] = await Promise.all([
      import('../kafka/client.ts'),
      import('./kafka-sink.ts'),
    ]);
    return new KafkaSink(connectKafka(config, log, RETRY), config.SINK_TOPIC, extensions);
  }
  if (config.K_SINK !== null) return httpSink(config.K_SINK, extensions);
  return config.SINK === 'stdout' ? stdoutSink(extensions) : null;
}
