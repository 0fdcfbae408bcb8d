import { Option } from 'commander';

export function brokersOption(): Option {
  return new Option('--brokers <list>', 'Kafka brokers, host:port, separated by commas').env(
    'KAFKA_BROKERS',
  );
}
