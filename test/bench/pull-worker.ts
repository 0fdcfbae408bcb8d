/** `muster serve` with the function of the bench, reading from Kafka, for pull.ts. */
import { readConfig } from '../../src/config/config.ts';
import { serve } from '../../src/process/serve.ts';
import { definitionOf, type Workload } from './workload.ts';

export interface PullStart {
  readonly url: string;
  readonly broker: string;
  readonly topic: string;
  readonly port: number;
  readonly workload: Workload;
}

const { url, broker, topic, port, workload } = JSON.parse(process.argv[2]!) as PullStart;
const config = readConfig({
  DATABASE_URL: url,
  INTAKE: 'kafka',
  KAFKA_BROKERS: broker,
  TOPIC: topic,
  HOST: '127.0.0.1',
  PORT: String(port),
  LOG_LEVEL: 'error',
  CLAIM_SECONDS: '60',
});
await serve(config, [definitionOf(workload)]);
