import type { Config } from '../config/config.ts';
import type { Log } from '../function.ts';
import { httpSink, stdoutSink, type Sink } from './http-sink.ts';

/**
 * Where outgoing events go, as configured; null where nothing is: they wait then. A pod may be there before
 * its SinkBinding is resolved, or be left when it is deleted. Connects to nothing yet.
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
