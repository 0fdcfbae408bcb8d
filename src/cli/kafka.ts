import type { Kafka, RetryOptions } from 'kafkajs';
import { ConfigError, readKafkaConfig, type KafkaConfig } from '../config/config.ts';
import { connectKafka } from '../kafka/client.ts';
import { WrongUse } from './wrong-use.ts';

/** Returns a client for one command: TLS and login as configured, brokers as given by an option. */
export function kafkaAt(brokers: string, option = '--brokers', retry: RetryOptions = {}): Kafka {
  const log = { info: drop, warn: drop, error: drop };
  return connectKafka(kafkaConfigAt(brokers, option), log, retry);
}

/** Reads the Kafka settings with these brokers. Throws {@link WrongUse} if they are invalid and come from an option. */
export function kafkaConfigAt(brokers: string | undefined, option = '--brokers'): KafkaConfig {
  try {
    return readKafkaConfig({ ...process.env, KAFKA_BROKERS: brokers });
  } catch (error) {
    if (!(error instanceof ConfigError) || brokers === process.env['KAFKA_BROKERS']) throw error;
    throw new WrongUse(error.message.replace(/^.*\n\s*/, '').replace('KAFKA_BROKERS', option));
  }
}

/** The library logs each attempt; the command reports the error that remains. */
function drop(): void {}
