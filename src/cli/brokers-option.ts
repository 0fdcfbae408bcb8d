import { Option } from 'commander';

export function brokersOption(): Option {
  return new Option(
    '--brokers <list>',
    'Kafka bootstrap servers as host:port, separated by commas',
  ).env('KAFKA_BROKERS');
}
