import type { Kafka } from 'kafkajs';
import { readKafkaConfig } from '../config/config.ts';
import { connectKafka } from '../kafka/client.ts';

/** Returns a client for one command: TLS and login as configured, brokers as given. */
export function kafkaAt(brokers: string): Kafka {
  const config = readKafkaConfig({ ...process.env, KAFKA_BROKERS: brokers });
  return connectKafka(config, { info: print, warn: print, error: print });
}

function print(_fields: object, message: string): void {
  process.stderr.write(`${message}\n`);
}
