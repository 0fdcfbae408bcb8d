import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import kafkajs, {
  Kafka,
  logLevel,
  type LogEntry,
  type RetryOptions,
  type SASLOptions,
} from 'kafkajs';
import { ConfigError, type KafkaConfig } from '../config/config.ts';
import type { Log } from '../function.ts';
import { extend } from './protocol.ts';

/**
 * Creates a Kafka client without connecting yet. No other code does, so brokers, TLS, login and codecs are
 * the same for everything that reads or writes Kafka. Throws {@link ConfigError} for a file that can't be read.
 *
 * @param retry retries of each request; default: those of kafkajs, for half a minute
 */
export function connectKafka(config: KafkaConfig, log: Log, retry: RetryOptions = {}): Kafka {
  if (config.KAFKA_BROKERS === null) throw new ConfigError('KAFKA_BROKERS is not set: host:port');
  const sasl = saslOf(config);
  const kafka = new Kafka({
    clientId: 'muster',
    brokers: [...config.KAFKA_BROKERS],
    ssl: tlsOf(config),
    ...(sasl !== null && { sasl }),
    retry,
    // Not lower: at DEBUG, log lines contain what is sent.
    logLevel: logLevel.ERROR,
    logCreator: () => (entry) => write(log, entry),
  });
  return extend(kafka);
}

function tlsOf(config: KafkaConfig) {
  if (config.KAFKA_TLS === '0') return false;
  const file = (name: 'KAFKA_CA_FILE' | 'KAFKA_CERT_FILE' | 'KAFKA_KEY_FILE') => {
    const path = config[name];
    if (path === null) return undefined;
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      throw new ConfigError(`${name} can't be read: ${(error as Error).message}`);
    }
  };
  const [ca, cert, key] = [file('KAFKA_CA_FILE'), file('KAFKA_CERT_FILE'), file('KAFKA_KEY_FILE')];
  return {
    ...(ca !== undefined && { ca: [ca] }),
    ...(cert !== undefined && key !== undefined && { cert, key }),
  };
}

function saslOf(config: KafkaConfig): SASLOptions | null {
  const { KAFKA_SASL_MECHANISM: mechanism } = config;
  if (mechanism === null) return null;
  return { mechanism, username: config.KAFKA_USERNAME!, password: config.KAFKA_PASSWORD! };
}

/** Logs an entry of kafkajs as a warning: what it calls an error it mostly retries, and otherwise throws. */
function write(log: Log, { label, log: entry }: LogEntry): void {
  const { message, broker, groupId, topic, error, retryCount } = entry;
  const why = error instanceof Error ? error.message : (error as string | undefined);
  log.warn({ label, broker, groupId, topic, error: why, retryCount }, `kafka: ${message}`);
}

/** A codec as kafkajs uses it. */
interface Codec {
  compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>;
  decompress(buffer: Buffer): Promise<Buffer>;
}

// kafkajs includes only gzip; a record with another codec would block its partition forever. The libraries
// are loaded for the first record that needs them: lz4js takes 6 MB.
const snappy: Codec = {
  compress: async (encoder) => (await snappyCodec()).compress(encoder),
  decompress: async (buffer) => (await snappyCodec()).decompress(buffer),
};
const lz4: Codec = {
  // Java rejects the frames that lz4js writes, because they don't declare their blocks as independent.
  compress: () => Promise.reject(new Error('Muster does not write LZ4')),
  async decompress(buffer) {
    const { default: library } = await import('lz4js');
    return Buffer.from(library.decompress(buffer));
  },
};
const zstd: Codec = {
  compress: async ({ buffer }) => promisify(zstdCompress)(buffer),
  decompress: async (buffer) => promisify(zstdDecompress)(buffer),
};
// Node detects only some exports of this CommonJS package; these are not among them.
const { CompressionCodecs, CompressionTypes } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = () => snappy;
CompressionCodecs[CompressionTypes.LZ4] = () => lz4;
CompressionCodecs[CompressionTypes.ZSTD] = () => zstd;

async function snappyCodec(): Promise<Codec> {
  return (await import('kafkajs-snappy')).default();
}
